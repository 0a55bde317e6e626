/* Scenes from the paper (Ongaro and Ousterhout 2014) and the dissertation, played with the production engine.
 * A scene is a schedule of cuts, deaths and proposals; who stands when is decided by whose clock runs, never
 * by luck. */
#include "cmocka_all.h"
#include "world.h"

static void stand(world *w, uint64_t id)
{
    /* Everybody else's patience is fresh; this one's connection to the leader "breaks". */
    uint64_t old = w->member[id].leader;
    if (old)
        world_link(w, id, old, false);
    world_run(w, 5);
}

/* Cuts everyone off but the named ones ("125"), who hear each other. */
static void only(world *w, const char *names)
{
    for (uint64_t a = 1; a <= w->count; a++)
        for (uint64_t b = 1; b <= w->count; b++)
            w->cut[a][b] = !strchr(names, (int)('0' + a)) || !strchr(names, (int)('0' + b));
}

static bool one_leads(const world *w)
{
    return w->member[1].engine && w->member[1].role == QR_LEADER;
}
static bool five_leads(const world *w)
{
    return w->member[5].engine && w->member[5].role == QR_LEADER;
}

/* Figure 8, (a) to (e). Presets stand for (a): S1 led term 2 and its entry 2 reached S2 only.
 * (b) S5 led term 3 and put something else at index 2. (c) S1 leads term 4 and spreads the entry of term 2 to
 * a majority. It must not be committed by that: (d) S5 may still replace it. */
static world *figure8(uint64_t bug)
{
    world *w = world_new(5, 8);
    w->config.bug = (uint32_t)bug;
    world_preset(w, 1, (const uint64_t[]){1, 2}, 2, 3, 0);
    world_preset(w, 2, (const uint64_t[]){1, 2}, 2, 3, 0);
    world_preset(w, 3, (const uint64_t[]){1}, 1, 3, 0);
    world_preset(w, 4, (const uint64_t[]){1}, 1, 3, 0);
    world_preset(w, 5, (const uint64_t[]){1, 3}, 2, 3, 5);
    /* (c): S1 wins term 4 with S2 and S3. Its no-op (index 3) is kept from everybody: entries go out one a
     * message, and the connections break when index 2 has arrived at S3. */
    w->config.message_max = 1;
    w->member[1].election_ms = w->member[5].election_ms = 200;
    only(w, "123");
    for (uint64_t id = 1; id <= 3; id++)
        world_boot(w, id);
    assert_true(world_until(w, 3000, one_leads));
    return w;
}

static uint64_t last_of(const world *w, uint64_t id)
{
    qr_engine_status status;
    qr_raft.status(w->member[id].engine, &status);
    return status.last_index;
}

static bool three_has_two(const world *w)
{
    return last_of(w, 3) == 2;
}

static void figure_8_older_terms_are_not_counted(void **state)
{
    world *w = figure8(0);
    assert_int_equal(w->member[1].term, 4);
    assert_true(world_until(w, 100, three_has_two));
    for (uint64_t a = 2; a <= 3;
         a++) /* what S1 still sends is lost; the answers to what came through arrive */
        w->cut[1][a] = true;
    world_run(w, 100);
    qr_buffer terms = {0}, others = {0};
    assert_string_equal(world_terms(w, 1, &terms), "1 2 4");
    assert_string_equal(world_terms(w, 3, &terms), "1 2");
    qr_engine_status status;
    qr_raft.status(w->member[1].engine, &status);
    assert_true(status.match[0] >= 2 && status.match[1] >= 2 && status.match[2] == 2); /* on three of five */
    assert_int_equal(status.commit_index, 0);                                          /* and not committed */
    assert_int_equal(w->committed_max, 0);

    world_crash(w,
                1); /* (d): S5 comes back and wins with S3 and S4: its last term, 3, is newer than theirs */
    only(w, "345");
    world_boot(w, 5);
    world_boot(w, 4);
    assert_true(world_until(w, 5000, five_leads));
    world_run(w, 500);
    assert_string_equal(world_terms(w, 3, &terms), world_terms(w, 5, &others));
    assert_int_equal(w->committed[2].term, 3);
    assert_fine(w);
    qr_buffer_free(&terms);
    qr_buffer_free(&others);
    world_free(w);
}

#ifdef QR_PLANTED_BUGS
/* The same scene with the rule of 5.4.2 taken out: the entry of term 2 is committed, and then lost. */
static void figure_8_shows_the_planted_bug(void **state)
{
    world *w = figure8(QR_BUG_COMMIT_OLD_TERM);
    assert_true(world_until(w, 100, three_has_two));
    for (uint64_t a = 2; a <= 3; a++)
        w->cut[1][a] = true;
    world_run(w, 100);
    assert_int_equal(w->committed_max, 2);
    world_crash(w, 1);
    only(w, "345");
    world_boot(w, 5);
    world_boot(w, 4);
    world_until(w, 5000, five_leads);
    world_run(w, 500);
    assert_non_null(w->violation);
    print_message("found: %s (%s)\n", w->violation, w->detail);
    world_free(w);
}
#endif

/* facts/scenarios, part-3-2-leader-minor: the leader is on the smaller side. */
static void a_leader_in_the_minority_gives_up(void **state)
{
    world *w = world_new(5, 5);
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    uint64_t leader = world_leader(w), beside = leader % 5 + 1;
    char side[3] = {(char)('0' + leader), (char)('0' + beside), 0}, other[6] = "";
    size_t others = 0;
    for (char c = '1'; c <= '5'; c++)
        if (!strchr(side, c))
            other[others++] = c;
    for (uint64_t a = 1; a <= 5; a++)
        for (uint64_t b = 1; b <= 5; b++)
            w->cut[a][b] = !strchr(side, (int)('0' + a)) != !strchr(side, (int)('0' + b));
    world_propose(w, leader, "lost with the minority");
    world_run(w, 1100);
    assert_int_equal(w->member[leader].role, QR_FOLLOWER); /* within one timeout */
    uint64_t before = w->committed_max;
    assert_true(world_until(w, 3000, world_has_leader));
    uint64_t successor = world_leader(w);
    assert_non_null(strchr(other, (int)('0' + successor)));
    world_propose(w, successor, "kept");
    world_run(w, 50);
    assert_int_equal(w->committed_max, before + 2); /* a no-op and "kept", where "lost" was */
    memset(w->cut, 0, sizeof w->cut);
    uint64_t elections = w->elections;
    world_run(w, 3000);
    assert_true(world_is_even(w));
    assert_int_equal(w->elections, elections);
    assert_fine(w);
    world_free(w);
}

/* part-2-2-1: no majority anywhere: nobody decides; after healing nothing is lost. */
static void without_a_majority_nobody_decides(void **state)
{
    world *w = world_new(5, 6);
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    uint64_t leader = world_leader(w);
    for (uint64_t a = 1; a <= 5; a++)
        for (uint64_t b = 1; b <= 5; b++)
            w->cut[a][b] = (a + 1) / 2 != (b + 1) / 2;
    for (int i = 0; i < 5; i++)
        world_propose(w, leader, "x");
    world_run(w, 30000);
    assert_int_equal(w->committed_max, 1);
    assert_int_equal(w->elections, 1);
    memset(w->cut, 0, sizeof w->cut);
    assert_true(world_until(w, 5000, world_is_even));
    assert_fine(w);
    world_free(w);
}

/* One-way: the leader hears nobody but is heard (it keeps others from standing), and must give way by itself.
 */
static void a_deaf_leader_steps_down(void **state)
{
    world *w = world_new(3, 7);
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    uint64_t leader = world_leader(w);
    for (uint64_t a = 1; a <= 3; a++)
        w->cut[a][leader] = a != leader;
    world_run(w, 1005);
    assert_int_equal(w->member[leader].role, QR_FOLLOWER);
    assert_true(world_until(w, 5000, world_has_leader));
    assert_int_not_equal(world_leader(w), leader);
    assert_fine(w);
    world_free(w);
}

/* All are killed at once, again and again; what was committed is there each time. */
static void everybody_dies_at_once_twenty_times(void **state)
{
    world *w = world_new(3, 9);
    world_boot_all(w);
    uint64_t kept = 0;
    for (int round = 0; round < 20; round++) {
        assert_true(world_until(w, 10000, world_is_even));
        assert_true(w->committed_max > kept);
        for (int i = 0; i < 10; i++) {
            world_propose(w, world_leader(w), "x");
            world_run(w, qr_prng_below(&w->prng, 4));
        }
        kept = w->committed_max;
        for (uint64_t id = 1; id <= 3; id++)
            world_crash(w, id);
        world_boot_all(w);
    }
    assert_fine(w);
    world_free(w);
}

/* Leader after leader is killed under load. */
static void leaders_die_one_after_another(void **state)
{
    world *w = world_new(5, 10);
    world_boot_all(w);
    for (int round = 0; round < 30; round++) {
        assert_true(world_until(w, 3000, world_is_even));
        uint64_t leader = world_leader(w);
        for (int i = 0; i < 5; i++)
            world_propose(w, leader, "x");
        world_run(w, 3);
        world_crash(w, leader);
        assert_true(world_until(w, 1000, world_has_leader));
        world_boot(w, leader);
    }
    assert_true(world_until(w, 3000, world_is_even));
    assert_fine(w);
    world_free(w);
}

/* The two who notice the death of the leader in the same moment do not stand in each other's way for long. */
static void handing_over_by_hand_and_by_death(void **state)
{
    world *w = world_new(3, 11);
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    stand(w, world_leader(w) % 3 + 1); /* only its own connection broke: denied */
    world_run(w, 2000);
    assert_int_equal(w->elections, 1);
    assert_fine(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figure_8_older_terms_are_not_counted),
#ifdef QR_PLANTED_BUGS
        cmocka_unit_test(figure_8_shows_the_planted_bug),
#endif
        cmocka_unit_test(a_leader_in_the_minority_gives_up),
        cmocka_unit_test(without_a_majority_nobody_decides),
        cmocka_unit_test(a_deaf_leader_steps_down),
        cmocka_unit_test(everybody_dies_at_once_twenty_times),
        cmocka_unit_test(leaders_die_one_after_another),
        cmocka_unit_test(handing_over_by_hand_and_by_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
