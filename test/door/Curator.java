/* Curator's recipes, as Debian packages them, against the servers named on the command line. One line a recipe, in the
 * form of the other tests: "ok zk-curator: NAME" or "not ok zk-curator: NAME" and why. Run by test/door/zk_curator. */
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

public class Curator {
    private static final int SESSION_MS = 6000, LONG_S = 20;
    private static String servers;
    private static int failed;

    interface Play {
        void run(CuratorFramework one, CuratorFramework two, String path) throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static CuratorFramework client() throws Exception {
        CuratorFramework made = CuratorFrameworkFactory.newClient(servers, SESSION_MS, 10000, new RetryNTimes(10, 200));
        made.start();
        check(made.blockUntilConnected(LONG_S, TimeUnit.SECONDS), "no connection");
        return made;
    }

    static void check(boolean good, String what) {
        if (!good)
            throw new IllegalStateException(what);
    }

    static void same(Object wanted, Object seen) {
        check(wanted.equals(seen), "wanted " + wanted + ", seen " + seen);
    }

    static void wait_for(Condition condition, String what) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LONG_S);
        while (!condition.holds()) {
            check(System.nanoTime() < end, "not within " + LONG_S + " s: " + what);
            Thread.sleep(20);
        }
    }

    static <T> T take(BlockingQueue<T> queue, String what) throws Exception {
        T taken = queue.poll(LONG_S, TimeUnit.SECONDS);
        check(taken != null, "not told: " + what);
        return taken;
    }

    static void recipe(String name, Play play) throws Exception {
        CuratorFramework one = client(), two = client();
        try {
            play.run(one, two, "/curator/" + name.replace(' ', '-'));
            System.out.println("ok zk-curator: " + name);
        } catch (Throwable wrong) { // an AssertionError of a recipe as well
            failed++;
            System.out.println("not ok zk-curator: " + name + "\n    " + wrong);
            for (StackTraceElement place : wrong.getStackTrace())
                if (place.getClassName().startsWith("Curator"))
                    System.out.println("    at line " + place.getLineNumber());
        } finally {
            one.close();
            two.close();
        }
    }

    /* Ends the session of a client as the servers would, by closing it from another connection. */
    static void expire(CuratorFramework client) throws Exception {
        ZooKeeper theirs = client.getZookeeperClient().getZooKeeper();
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper twin = new ZooKeeper(servers, SESSION_MS, event -> connected.countDown(), theirs.getSessionId(),
                                       theirs.getSessionPasswd());
        check(connected.await(LONG_S, TimeUnit.SECONDS), "the session's second connection");
        twin.close();
    }

    static Stat stat(CuratorFramework client, String path) throws Exception {
        client.sync().forPath(path);
        return client.checkExists().forPath(path);
    }

    /* ---- locks ---- */

    static void exclusive(InterProcessLock first, InterProcessLock second) throws Exception {
        first.acquire();
        check(!second.acquire(300, TimeUnit.MILLISECONDS), "two have it");
        ExecutorService threads = Executors.newCachedThreadPool();
        try {
            Future<Boolean> waiting = threads.submit(() -> {
                boolean got = second.acquire(LONG_S, TimeUnit.SECONDS);
                if (got)
                    second.release();
                return got;
            });
            first.release();
            check(waiting.get(), "it was not passed on");
        } finally {
            threads.shutdownNow();
        }
    }

    static void mutex(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        InterProcessMutex first = new InterProcessMutex(one, path), second = new InterProcessMutex(two, path);
        exclusive(first, second);
        first.acquire();
        first.acquire();
        first.release();
        check(!second.acquire(200, TimeUnit.MILLISECONDS), "reentrance was forgotten");
        first.release();
    }

    static void semaphore_mutex(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        exclusive(new InterProcessSemaphoreMutex(one, path), new InterProcessSemaphoreMutex(two, path));
    }

    static void read_write_lock(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        InterProcessReadWriteLock first = new InterProcessReadWriteLock(one, path);
        InterProcessReadWriteLock second = new InterProcessReadWriteLock(two, path);
        first.readLock().acquire();
        check(second.readLock().acquire(5, TimeUnit.SECONDS), "readers exclude each other");
        check(!second.writeLock().acquire(200, TimeUnit.MILLISECONDS), "a writer among readers");
        second.readLock().release();
        first.readLock().release();
        exclusive(first.writeLock(), second.writeLock());
    }

    static void multi_lock(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        List<String> paths = List.of(path + "/a", path + "/b");
        exclusive(new InterProcessMultiLock(one, paths), new InterProcessMultiLock(two, paths));
    }

    static void semaphore(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(one, path, 2);
        InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(two, path, 2);
        Lease a = first.acquire(), b = second.acquire();
        check(second.acquire(300, TimeUnit.MILLISECONDS) == null, "three of two leases");
        first.returnLease(a);
        Lease c = second.acquire(LONG_S, TimeUnit.SECONDS);
        check(c != null, "a returned lease was not passed on");
        second.returnAll(List.of(b, c));
    }

    static void revocation(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        InterProcessMutex first = new InterProcessMutex(one, path), second = new InterProcessMutex(two, path);
        CountDownLatch asked = new CountDownLatch(1);
        first.makeRevocable(lock -> asked.countDown());
        first.acquire();
        org.apache.curator.framework.recipes.locks.Revoker.attemptRevoke(two, second.getParticipantNodes().iterator().next());
        check(asked.await(LONG_S, TimeUnit.SECONDS), "the holder was not asked");
        first.release();
    }

    static void lock_of_a_lost_session(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        InterProcessMutex second = new InterProcessMutex(two, path);
        new InterProcessMutex(one, path).acquire();
        BlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
        one.getConnectionStateListenable().addListener((client, state) -> states.add(state));
        expire(one);
        check(second.acquire(LONG_S, TimeUnit.SECONDS), "it was not passed on");
        List<ConnectionState> seen = new ArrayList<>();
        while (!seen.contains(ConnectionState.RECONNECTED))
            seen.add(take(states, "reconnected, after " + seen));
        check(seen.contains(ConnectionState.LOST), "the holder did not hear that it lost its session: " + seen);
        second.release();
    }

    /* ---- elections ---- */

    static void leader_latch(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        LeaderLatch first = new LeaderLatch(one, path, "first"), second = new LeaderLatch(two, path, "second");
        first.start();
        check(first.await(LONG_S, TimeUnit.SECONDS), "nobody leads");
        second.start();
        wait_for(() -> second.getParticipants().size() == 2, "two participants");
        same("first", second.getLeader().getId());
        first.close();
        check(second.await(LONG_S, TimeUnit.SECONDS), "nobody follows");
        second.close();
    }

    static void leader_selector(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        AtomicInteger leading = new AtomicInteger(), both = new AtomicInteger();
        BlockingQueue<String> terms = new LinkedBlockingQueue<>();
        List<LeaderSelector> all = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two)) {
            String name = client == one ? "first" : "second";
            LeaderSelector made = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
                @Override public void takeLeadership(CuratorFramework mine) throws Exception {
                    if (leading.incrementAndGet() > 1)
                        both.incrementAndGet();
                    terms.add(name);
                    Thread.sleep(20);
                    leading.decrementAndGet();
                }
            });
            made.autoRequeue();
            made.start();
            all.add(made);
        }
        List<String> seen = new ArrayList<>();
        while (seen.size() < 8 || !seen.contains("first") || !seen.contains("second"))
            seen.add(take(terms, "a term"));
        for (LeaderSelector made : all)
            made.close();
        same(0, both.get());
    }

    /* ---- barriers, counters, queues ---- */

    static void barrier(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        DistributedBarrier first = new DistributedBarrier(one, path), second = new DistributedBarrier(two, path);
        first.setBarrier();
        check(!second.waitOnBarrier(200, TimeUnit.MILLISECONDS), "it did not hold");
        ExecutorService threads = Executors.newCachedThreadPool();
        Future<Boolean> waiting = threads.submit(() -> second.waitOnBarrier(LONG_S, TimeUnit.SECONDS));
        first.removeBarrier();
        check(waiting.get(), "it was not lifted");
        threads.shutdownNow();
    }

    static void double_barrier(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        AtomicInteger inside = new AtomicInteger();
        List<Future<Boolean>> all = new ArrayList<>();
        for (CuratorFramework client : List.of(one, two, one)) {
            Callable<Boolean> pass = () -> {
                DistributedDoubleBarrier mine = new DistributedDoubleBarrier(client, path, 3);
                boolean entered = mine.enter(LONG_S, TimeUnit.SECONDS);
                inside.incrementAndGet();
                return mine.leave(LONG_S, TimeUnit.SECONDS) && entered && inside.get() == 3;
            };
            all.add(threads.submit(pass));
        }
        for (Future<Boolean> passed : all)
            check(passed.get(), "not all together");
        threads.shutdownNow();
    }

    static void counters(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        List<Future<Integer>> all = new ArrayList<>();
        PromotedToLock lock = PromotedToLock.builder().lockPath(path + "/lock").retryPolicy(new RetryNTimes(20, 20)).build();
        for (CuratorFramework client : List.of(one, two)) {
            all.add(threads.submit(() -> {
                DistributedAtomicLong mine =
                    new DistributedAtomicLong(client, path + "/long", new RetryNTimes(3, 5), lock);
                int done = 0;
                for (int i = 0; i < 50; i++)
                    done += mine.increment().succeeded() ? 1 : 0;
                return done;
            }));
        }
        for (Future<Integer> done : all)
            same(50, done.get());
        threads.shutdownNow();
        AtomicValue<Long> end =
            new DistributedAtomicLong(one, path + "/long", new RetryNTimes(3, 5), lock).add(0L);
        same(100L, end.postValue());
    }

    static void shared_count(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        SharedCount first = new SharedCount(one, path, 7), second = new SharedCount(two, path, 7);
        BlockingQueue<Integer> told = new LinkedBlockingQueue<>();
        second.addListener(new SharedCountListener() {
            @Override public void countHasChanged(SharedCountReader reader, int count) {
                told.add(count);
            }
            @Override public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        });
        first.start();
        second.start();
        same(7, second.getCount());
        first.setCount(8);
        same(8, take(told, "the new count"));
        check(second.trySetCount(second.getVersionedValue(), 9), "the version was wrong");
        wait_for(() -> first.getCount() == 9, "the other one's count");
        first.close();
        second.close();
    }

    static void queue(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        SimpleDistributedQueue first = new SimpleDistributedQueue(one, path), second = new SimpleDistributedQueue(two, path);
        ExecutorService threads = Executors.newCachedThreadPool();
        Future<byte[]> waiting = threads.submit(() -> second.poll(LONG_S, TimeUnit.SECONDS));
        for (int i = 0; i < 10; i++)
            first.offer(new byte[] {(byte)i});
        same((byte)0, waiting.get()[0]);
        for (int i = 1; i < 10; i++)
            same((byte)i, second.take()[0]);
        check(second.poll() == null, "more than was put in");
        threads.shutdownNow();
    }

    /* ---- caches and watches ---- */

    static void cache(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        two.create().creatingParentsIfNeeded().forPath(path + "/a", new byte[] {1});
        stat(one, path);
        CuratorCache cache = CuratorCache.build(one, path);
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        CountDownLatch filled = new CountDownLatch(1);
        cache.listenable().addListener(
            CuratorCacheListener.builder()
                .forInitialized(filled::countDown)
                .forCreates(node -> told.add("created " + node.getPath()))
                .forChanges((before, after) -> told.add("changed " + after.getPath() + " to " + after.getData()[0]))
                .forDeletes(node -> told.add("deleted " + node.getPath()))
                .build());
        cache.start();
        check(filled.await(LONG_S, TimeUnit.SECONDS), "it was never filled");
        List<String> beginning = new ArrayList<>(List.of(take(told, "the root"), take(told, "its child")));
        beginning.sort(null);
        same(List.of("created " + path, "created " + path + "/a"), beginning);
        two.create().forPath(path + "/a/b", new byte[] {2});
        same("created " + path + "/a/b", take(told, "a new node"));
        two.setData().forPath(path + "/a/b", new byte[] {3});
        same("changed " + path + "/a/b to 3", take(told, "its change"));
        two.delete().forPath(path + "/a/b");
        same("deleted " + path + "/a/b", take(told, "its end"));
        check(cache.get(path + "/a/b").isEmpty() && cache.get(path + "/a").isPresent(), "what it holds");
        cache.close();
    }

    static void persistent_watch(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        for (boolean recursive : new boolean[] {false, true}) {
            String root = path + "/" + recursive;
            two.create().creatingParentsIfNeeded().forPath(root);
            stat(one, root);
            PersistentWatcher watcher = new PersistentWatcher(one, root, recursive);
            BlockingQueue<String> told = new LinkedBlockingQueue<>();
            CountDownLatch set = new CountDownLatch(1);
            watcher.getListenable().addListener(event -> {
                if (event.getType() != Watcher.Event.EventType.None)
                    told.add(event.getType() + " " + event.getPath());
            });
            watcher.getResetListenable().addListener(set::countDown);
            watcher.start();
            check(set.await(LONG_S, TimeUnit.SECONDS), "it was never set");
            two.create().forPath(root + "/a");
            two.setData().forPath(root + "/a", new byte[] {1});
            two.setData().forPath(root, new byte[] {1});
            two.setData().forPath(root, new byte[] {2});
            two.delete().forPath(root + "/a");
            List<String> wanted = recursive
                ? List.of("NodeCreated " + root + "/a", "NodeDataChanged " + root + "/a", "NodeDataChanged " + root,
                          "NodeDataChanged " + root, "NodeDeleted " + root + "/a")
                : List.of("NodeChildrenChanged " + root, "NodeDataChanged " + root, "NodeDataChanged " + root,
                          "NodeChildrenChanged " + root);
            List<String> seen = new ArrayList<>();
            while (seen.size() < wanted.size())
                seen.add(take(told, "after " + seen));
            same(wanted, seen);
            watcher.close();
        }
    }

    /* ---- nodes ---- */

    static void containers_and_ttl(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        one.createContainers(path + "/container");
        same(0L, stat(two, path + "/container").getEphemeralOwner());
        Stat made = new Stat();
        one.create().withTtl(60000).storingStatIn(made).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath(path + "/ttl");
        same(made.getCzxid(), stat(two, path + "/ttl").getCzxid());
        PersistentTtlNode node = new PersistentTtlNode(one, path + "/kept", 60000, new byte[0]);
        node.start();
        check(node.waitForInitialCreate(LONG_S, TimeUnit.SECONDS), "the kept node");
        node.close();
    }

    static void persistent_node(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        PersistentNode node = new PersistentNode(one, CreateMode.EPHEMERAL, false, path, new byte[] {5});
        node.start();
        check(node.waitForInitialCreate(LONG_S, TimeUnit.SECONDS), "it was not made");
        long before = stat(two, path).getEphemeralOwner();
        expire(one);
        wait_for(() -> {
            Stat now = stat(two, path);
            return now != null && now.getEphemeralOwner() != before;
        }, "it comes again with the next session");
        node.close();
    }

    static void group(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        GroupMember first = new GroupMember(one, path, "first"), second = new GroupMember(two, path, "second");
        first.start();
        second.start();
        wait_for(() -> first.getCurrentMembers().size() == 2, "both are members");
        second.close();
        wait_for(() -> !first.getCurrentMembers().containsKey("second"), "one has left");
        first.close();
    }

    static void transactions(CuratorFramework one, CuratorFramework two, String path) throws Exception {
        one.create().creatingParentsIfNeeded().forPath(path);
        one.transaction().forOperations(one.transactionOp().create().forPath(path + "/a"),
                                        one.transactionOp().setData().forPath(path, new byte[] {1}),
                                        one.transactionOp().check().withVersion(1).forPath(path));
        same(1, stat(two, path).getNumChildren());
        try {
            one.transaction().forOperations(one.transactionOp().create().forPath(path + "/b"),
                                            one.transactionOp().check().withVersion(7).forPath(path));
            check(false, "a wrong version was no obstacle");
        } catch (KeeperException.BadVersionException wanted) {
            same(1, stat(two, path).getNumChildren());
        }
        String guarded = one.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(path + "/c-");
        check(guarded.startsWith(path + "/_c_") && guarded.endsWith("-c-0000000001"), guarded);
        two.delete().guaranteed().deletingChildrenIfNeeded().forPath(path);
        check(stat(one, path) == null, "deleted with its children");
    }

    public static void main(String[] arguments) throws Exception {
        servers = arguments[0];
        recipe("mutex", Curator::mutex);
        recipe("semaphore mutex", Curator::semaphore_mutex);
        recipe("read write lock", Curator::read_write_lock);
        recipe("multi lock", Curator::multi_lock);
        recipe("semaphore", Curator::semaphore);
        recipe("revocation", Curator::revocation);
        recipe("lock of a lost session", Curator::lock_of_a_lost_session);
        recipe("leader latch", Curator::leader_latch);
        recipe("leader selector", Curator::leader_selector);
        recipe("barrier", Curator::barrier);
        recipe("double barrier", Curator::double_barrier);
        recipe("counters", Curator::counters);
        recipe("shared count", Curator::shared_count);
        recipe("queue", Curator::queue);
        recipe("cache", Curator::cache);
        recipe("persistent watch", Curator::persistent_watch);
        recipe("containers and ttl", Curator::containers_and_ttl);
        recipe("persistent node", Curator::persistent_node);
        recipe("group", Curator::group);
        recipe("transactions", Curator::transactions);
        System.exit(failed == 0 ? 0 : 1);
    }
}
