#include "cmocka_all.h"
#include "core/members.h"

static qr_members of(const char *roles)
{
    /* v voter, l learner, o voter that was one before too, x outgoing voter that becomes a learner */
    qr_members members = {0};
    for (uint64_t i = 0; roles[i]; i++) {
        char role = roles[i];
        assert_int_equal(
            qr_members_add(&members,
                           (qr_member){.id = 10 * (i + 1),
                                       .role = role == 'v' || role == 'o' ? QR_ROLE_VOTER : QR_ROLE_LEARNER,
                                       .voted_before = role == 'o' || role == 'x'}),
            QR_OK);
        members.joint |= role == 'o' || role == 'x';
    }
    return members;
}

static bool in_mask(const void *context, uint64_t id)
{
    return *(const uint32_t *)context >> (id / 10 - 1) & 1;
}
static uint64_t in_array(const void *context, uint64_t id)
{
    return ((const uint64_t *)context)[id / 10 - 1];
}

/* A quorum is a majority of the voters of each half: compared with counting, for every subset. */
static void quorum_of_every_subset(void **state)
{
    static const char *const shapes[] = {"v",    "vv",    "vvv", "vvvv", "vvvvv", "vvvvvv", "vlv",
                                         "lllv", "vvvll", "ooo", "oovx", "oxxv",  "ovvxx",  "oovvxl"};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        qr_members members = of(shapes[s]);
        assert_int_equal(qr_members_check(&members), QR_OK);
        size_t count = strlen(shapes[s]);
        for (uint32_t mask = 0; mask < 1u << count; mask++) {
            int voters = 0, having = 0, voters_old = 0, having_old = 0;
            for (size_t i = 0; i < count; i++) {
                bool has = mask >> i & 1, votes = strchr("vo", shapes[s][i]),
                     voted = strchr("ox", shapes[s][i]);
                voters += votes, having += votes && has, voters_old += voted, having_old += voted && has;
            }
            bool want = 2 * having > voters && (voters_old == 0 || 2 * having_old > voters_old);
            assert_int_equal(qr_quorum_has(&members, in_mask, &mask), want);
        }
    }
}

/* The quorum value n: a quorum has at least n, and none has more. */
static void quorum_value_is_the_greatest(void **state)
{
    static const char *const shapes[] = {"v", "vv", "vvv", "vvvv", "vvlvv", "oovx", "oxxvv"};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        qr_members members = of(shapes[s]);
        uint64_t values[QR_MEMBERS_MAX];
        size_t count = strlen(shapes[s]);
        assert_in_range(count, 1, 8);
        for (uint32_t draw = 0; draw < 4096; draw++) {
            for (size_t i = 0; i < count; i++)
                values[i] = draw >> (2 * i) & 3;
            uint64_t value = qr_quorum_value(&members, in_array, values);
            uint32_t at_least = 0, above = 0;
            for (size_t i = 0; i < count && i < 8; i++) {
                at_least |= (uint32_t)(values[i] >= value) << i;
                above |= (uint32_t)(values[i] > value) << i;
            }
            assert_true(value == 0 || qr_quorum_has(&members, in_mask, &at_least));
            assert_false(qr_quorum_has(&members, in_mask, &above));
        }
    }
}

static void any_two_quorums_meet_even_when_even(void **state)
{
    for (int count = 1; count <= 6; count++) {
        qr_members members = of(&"vvvvvv"[6 - count]);
        for (uint32_t a = 0; a < 1u << count; a++)
            for (uint32_t b = 0; b < 1u << count; b++)
                if (qr_quorum_has(&members, in_mask, &a) && qr_quorum_has(&members, in_mask, &b))
                    assert_true(a & b);
    }
}

static void checks_and_finds(void **state)
{
    qr_members members = of("vlv");
    assert_int_equal(qr_members_find(&members, 20)->role, QR_ROLE_LEARNER);
    assert_null(qr_members_find(&members, 25));
    assert_true(qr_members_votes(&members, 10));
    assert_false(qr_members_votes(&members, 20));
    assert_false(qr_members_votes(&members, 99));
    assert_int_equal(qr_members_add(&members, (qr_member){.id = 20, .role = QR_ROLE_VOTER}), QR_E_EXISTS);
    assert_int_equal(qr_members_add(&members, (qr_member){.id = 5, .role = QR_ROLE_VOTER}), QR_OK);
    assert_int_equal(members.list[0].id, 5);
    qr_members joint = of("ox");
    assert_true(qr_members_votes(&joint, 20)); /* outgoing voters still vote */

    qr_members bad = of("ll");
    assert_int_equal(qr_members_check(&bad), QR_E_INVALID); /* no voter */
    bad = of("vv");
    bad.list[1].id = bad.list[0].id;
    assert_int_equal(qr_members_check(&bad), QR_E_INVALID); /* order */
    bad = of("vv");
    bad.list[0].voted_before = 1;
    assert_int_equal(qr_members_check(&bad), QR_E_INVALID); /* half a joint configuration */
    bad = of("vv");
    bad.list[0].role = QR_ROLE_LEAVING + 1;
    assert_int_equal(qr_members_check(&bad), QR_E_INVALID);
    bad.list[0].role = QR_ROLE_LEAVING; /* without having been there */
    assert_int_equal(qr_members_check(&bad), QR_E_INVALID);
    qr_members full = {0};
    for (uint64_t i = 1; i <= QR_MEMBERS_MAX; i++)
        assert_int_equal(qr_members_add(&full, (qr_member){.id = i, .role = QR_ROLE_VOTER}), QR_OK);
    assert_int_equal(qr_members_add(&full, (qr_member){.id = 99, .role = QR_ROLE_VOTER}), QR_E_TOO_LARGE);
}

static void bytes_there_and_back(void **state)
{
    qr_members members = of("oovxl"), back;
    members.list[2].incarnation = UINT64_MAX;
    qr_buffer bytes = {0};
    qr_members_encode(&members, &bytes);
    qr_reader reader = qr_reader_of(qr_buffer_slice(&bytes));
    assert_int_equal(qr_members_decode(&reader, &back), QR_OK);
    assert_int_equal(qr_reader_left(&reader), 0);
    assert_int_equal(back.count, 5);
    assert_int_equal(back.list[2].incarnation, UINT64_MAX);
    assert_int_equal(back.list[3].voted_before, 1);
    for (size_t size = 0; size < bytes.size; size++) {
        reader = qr_reader_of(qr_slice_of(bytes.data, size));
        assert_int_not_equal(qr_members_decode(&reader, &back), QR_OK);
    }
    bytes.data[0] = 200; /* more than a group may have */
    reader = qr_reader_of(qr_buffer_slice(&bytes));
    assert_int_equal(qr_members_decode(&reader, &back), QR_E_INVALID);
    qr_buffer_free(&bytes);
}

/* The configuration number n of five ids: each one absent, voter or learner. False: without a voter. */
static bool draw(uint32_t n, qr_members *members)
{
    *members = (qr_members){0};
    for (uint64_t i = 1; i <= 5; i++, n /= 3)
        if (n % 3)
            qr_members_add(members, (qr_member){.id = 10 * i, .incarnation = i, .role = (uint8_t)(n % 3)});
    return qr_members_check(members) == QR_OK;
}

/* Which subsets of the five are quorums: bit m of the answer stands for subset m. */
static uint32_t quorums(const qr_members *members)
{
    uint32_t found = 0;
    for (uint32_t mask = 0; mask < 32; mask++)
        found |= (uint32_t)qr_quorum_has(members, in_mask, &mask) << mask;
    return found;
}

static bool all_meet(uint32_t a, uint32_t b)
{
    for (uint32_t m = 0; m < 32; m++)
        for (uint32_t n = 0; n < 32 && a >> m & 1; n++)
            if ((b >> n & 1) && !(m & n))
                return false;
    return true;
}

/* Facts row 1, D 4.3: between any two configurations of five ids the joint one is a way on which quorums meet
 * at each step, and it ends where it was to. */
static void any_two_configurations_have_a_way(void **state)
{
    uint32_t apart = 0;
    for (uint32_t a = 0; a < 243; a++)
        for (uint32_t b = 0; b < 243; b++) {
            qr_members from, to, joint, end;
            if (!draw(a, &from) || !draw(b, &to))
                continue;
            assert_int_equal(qr_members_join(&from, &to, &joint), QR_OK);
            assert_true(qr_members_may_follow(&from, &joint) && qr_members_may_follow(&joint, &to));
            qr_members_leave(&joint, &end);
            assert_int_equal(end.count, to.count);
            for (uint32_t i = 0; i < to.count; i++)
                assert_memory_equal(&end.list[i], &to.list[i], sizeof to.list[i]);
            if (a % 3 == 0 || b % 5) /* the rest of it is slow */
                continue;
            uint32_t quorums_from = quorums(&from), quorums_to = quorums(&to), between = quorums(&joint);
            assert_true(between && all_meet(quorums_from, between) && all_meet(between, quorums_to));
            assert_true(!qr_members_may_follow(&from, &to) || all_meet(quorums_from, quorums_to));
            apart += !all_meet(quorums_from, quorums_to);
        }
    assert_true(apart > 100); /* so the way is needed */
}

static void a_voters_disk_does_not_change_on_the_way(void **state)
{
    qr_members from = of("vvv"), to = of("vvv");
    from.list[0].incarnation = 7;
    to.list[0].incarnation = 8;
    assert_false(qr_members_may_follow(&from, &to));
    from.list[0].incarnation = 0; /* becomes known */
    assert_true(qr_members_may_follow(&from, &to));
    assert_false(qr_members_may_follow(&to, &from)); /* and is not forgotten */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorum_of_every_subset),
        cmocka_unit_test(quorum_value_is_the_greatest),
        cmocka_unit_test(any_two_quorums_meet_even_when_even),
        cmocka_unit_test(checks_and_finds),
        cmocka_unit_test(bytes_there_and_back),
        cmocka_unit_test(any_two_configurations_have_a_way),
        cmocka_unit_test(a_voters_disk_does_not_change_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
