// The client of test/door/clients_go: what Go programs make of a store with Debian's clientv3 (3.4), its mutexes, elections, software
// transactional memory, leases and watches. Prints "ok NAME" or "not ok NAME: why" a case. When it prints "kill", the leader is
// killed, and a line on standard input says that it is done.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
)

const patience = 60 * time.Second

var failed bool

func verdict(name string, err error) {
	if err != nil {
		failed = true
		fmt.Printf("not ok clients_go: %s\n    %v\n", name, err)
		return
	}
	fmt.Printf("ok clients_go: %s\n", name)
}

func connect(endpoints ...string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 10 * time.Second,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second})
	if err != nil {
		fmt.Println("not ok clients_go: connect", err)
		os.Exit(1)
	}
	return client
}

// all runs count functions at once and gives back the first error.
func all(count int, run func(i int) error) error {
	errors := make(chan error, count)
	for i := 0; i < count; i++ {
		go func(i int) { errors <- run(i) }(i)
	}
	var first error
	for i := 0; i < count; i++ {
		if err := <-errors; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func number(ctx context.Context, client *clientv3.Client, key string) (int, error) {
	got, err := client.Get(ctx, key)
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	return strconv.Atoi(string(got.Kvs[0].Value))
}

// A number is read and written under a mutex, without a transaction: only the mutex keeps increments from being lost.
func mutexes(ctx context.Context, clients []*clientv3.Client) error {
	const workers, rounds = 6, 10
	err := all(workers, func(i int) error {
		client := clients[i%len(clients)]
		session, err := concurrency.NewSession(client, concurrency.WithTTL(20))
		if err != nil {
			return err
		}
		defer session.Close()
		mutex := concurrency.NewMutex(session, "go/mutex")
		for round := 0; round < rounds; round++ {
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			value, err := number(ctx, client, "go/guarded")
			if err == nil {
				_, err = client.Put(ctx, "go/guarded", strconv.Itoa(value+1))
			}
			if err != nil {
				return err
			}
			if err := mutex.Unlock(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	value, err := number(ctx, clients[0], "go/guarded")
	if err == nil && value != workers*rounds {
		err = fmt.Errorf("%d of %d increments", value, workers*rounds)
	}
	return err
}

func elections(ctx context.Context, clients []*clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher, err := concurrency.NewSession(clients[0])
	if err != nil {
		return err
	}
	defer watcher.Close()
	observed := concurrency.NewElection(watcher, "go/election").Observe(ctx)
	turns := make(chan error, 2)
	for i, name := range []string{"a", "b"} {
		session, err := concurrency.NewSession(clients[i%len(clients)], concurrency.WithTTL(20))
		if err != nil {
			return err
		}
		defer session.Close()
		go func(name string) { turns <- lead(ctx, concurrency.NewElection(session, "go/election"), name) }(name)
	}
	seen := map[string]bool{}
	for running := 2; running > 0 || !seen["a speaks"] || !seen["b speaks"]; {
		select {
		case answer := <-observed:
			if len(answer.Kvs) > 0 {
				seen[string(answer.Kvs[0].Value)] = true
			}
		case err := <-turns:
			if err != nil {
				return err
			}
			running--
		case <-time.After(patience / 4):
			return fmt.Errorf("seen only %v", seen)
		}
	}
	return nil
}

func lead(ctx context.Context, election *concurrency.Election, name string) error {
	if err := election.Campaign(ctx, name); err != nil {
		return err
	}
	if err := election.Proclaim(ctx, name+" speaks"); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond) // an observer may skip what was overtaken
	return election.Resign(ctx)
}

// Money moves between accounts at random; none is made and none is lost.
func transactions(ctx context.Context, clients []*clientv3.Client) error {
	const accounts, workers, rounds = 5, 5, 12
	account := func(i int) string { return "go/account/" + strconv.Itoa(i%accounts) }
	for i := 0; i < accounts; i++ {
		if _, err := clients[0].Put(ctx, account(i), "100"); err != nil {
			return err
		}
	}
	err := all(workers, func(i int) error {
		for round := 0; round < rounds; round++ {
			from, to := account(i+round), account(i*2+round*3+1)
			if from == to {
				continue
			}
			_, err := concurrency.NewSTM(clients[i%len(clients)], func(stm concurrency.STM) error {
				left, _ := strconv.Atoi(stm.Get(from))
				right, _ := strconv.Atoi(stm.Get(to))
				stm.Put(from, strconv.Itoa(left-7))
				stm.Put(to, strconv.Itoa(right+7))
				return nil
			}, concurrency.WithAbortContext(ctx))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	got, err := clients[0].Get(ctx, "go/account/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	sum := 0
	for _, kv := range got.Kvs {
		value, _ := strconv.Atoi(string(kv.Value))
		sum += value
	}
	if sum != 100*accounts {
		return fmt.Errorf("%d in all", sum)
	}
	return nil
}

// events reads a watch until the key "go/w/end" was written, and gives back a line an event.
func events(watch clientv3.WatchChan) ([]string, error) {
	var lines []string
	for answer := range watch {
		if err := answer.Err(); err != nil {
			return lines, err
		}
		for _, event := range answer.Events {
			lines = append(lines, fmt.Sprintf("%d %s %s %s", event.Kv.ModRevision, event.Type, event.Kv.Key, event.Kv.Value))
			if string(event.Kv.Key) == "go/w/end" {
				return lines, nil
			}
		}
	}
	return lines, fmt.Errorf("the watch has ended")
}

// persist writes until it is acknowledged: what was not may have happened all the same.
func persist(ctx context.Context, client *clientv3.Client, key, value string) error {
	for {
		one, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := client.Put(one, key, value)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The leader is killed under a watch and a lease.
func killedLeader(ctx context.Context, client *clientv3.Client, done *bufio.Reader) (watched, leased error) {
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return err, err
	}
	if _, err := client.KeepAlive(ctx, lease.ID); err != nil {
		return err, err
	}
	first, err := client.Put(ctx, "go/leased", "x", clientv3.WithLease(lease.ID))
	if err != nil {
		return err, err
	}
	var lines []string
	var group sync.WaitGroup
	group.Add(1)
	from := clientv3.WithRev(first.Header.Revision)
	watch := client.Watch(clientv3.WithRequireLeader(ctx), "go/w/", clientv3.WithPrefix(), from)
	go func() {
		defer group.Done()
		lines, watched = events(watch)
	}()
	for i := 0; i < 120; i++ {
		if i == 40 {
			fmt.Println("kill")
			done.ReadString('\n')
		}
		if err := persist(ctx, client, fmt.Sprintf("go/w/%d", i%10), strconv.Itoa(i)); err != nil {
			return err, err
		}
	}
	if err := persist(ctx, client, "go/w/end", ""); err != nil {
		return err, err
	}
	group.Wait()
	if watched == nil {
		var history []string
		history, watched = events(client.Watch(ctx, "go/w/", clientv3.WithPrefix(), from))
		if strings.Join(history, "\n") != strings.Join(lines, "\n") {
			watched = fmt.Errorf("%d events seen, %d there", len(lines), len(history))
		}
	}
	got, err := client.Get(ctx, "go/leased")
	if err == nil && len(got.Kvs) != 1 {
		err = fmt.Errorf("the lease has ended although it was kept alive")
	}
	return watched, err
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	endpoints := os.Args[1:]
	var clients []*clientv3.Client
	for _, endpoint := range endpoints {
		clients = append(clients, connect(endpoint))
	}
	verdict("mutexes at three members", mutexes(ctx, clients))
	verdict("elections and who observes them", elections(ctx, clients))
	verdict("software transactional memory", transactions(ctx, clients))
	watched, leased := killedLeader(ctx, connect(endpoints...), bufio.NewReader(os.Stdin))
	verdict("a watch goes on without a gap when the leader is killed", watched)
	verdict("a lease is kept alive when the leader is killed", leased)
	if failed {
		os.Exit(1)
	}
}
