/* Who belongs to the cluster, and what members say of themselves: MemberList and the changes, publication,
 * the catalogue. */
#include "stage.h"

#include <stdio.h>

static void test_members_and_publication(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    const char *path = "/etcdserverpb.Cluster/MemberList";
    QrEtcdpb__MemberListResponse *list =
        ask(stage, path, &request.base, &qr_etcdpb__member_list_response__descriptor);
    assert_int_equal(stage->node.last.kind, QR_REQUEST_READ_LOCAL);
    assert_header(list->header, 0);
    assert_int_equal(list->n_members, 3);
    assert_string_equal(list->members[0]->name, ""); /* has not spoken yet */
    assert_int_equal(list->members[0]->n_clienturls, 0);
    assert_int_equal(list->members[1]->n_peerurls, 2);
    assert_string_equal(list->members[1]->peerurls[1], "http://127.0.0.1:22");
    assert_true(list->members[2]->islearner);

    stage->node.failure = QR_E_NO_LEADER; /* a publication that fails is tried again */
    qr_etcd_door_publish(stage->door, 0);
    qr_etcd_door_publish(stage->door, 0); /* one is under way */
    assert_int_equal(stage->node.count, 1);
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 0);
    stage->node.failure = QR_OK;
    qr_etcd_door_publish(stage->door, 1000);
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 1);
    qr_etcd_door_publish(stage->door, 2000); /* it stands */
    assert_int_equal(stage->node.count, 0);

    list = ask(stage, path, &request.base, &qr_etcdpb__member_list_response__descriptor);
    assert_string_equal(list->members[0]->name, "one");
    assert_int_equal(list->members[0]->n_clienturls, 1);
    assert_string_equal(list->members[0]->clienturls[0], "http://127.0.0.1:3");
    assert_string_equal(list->members[1]->name, "");
    assert_header(range(stage, "a", "\0", 0, 0)->header, 1); /* no revision was counted, no key is seen */
    assert_int_equal(range(stage, "a", "\0", 0, 0)->count, 0);
}

/* ---- changing members ---- */

static int64_t some_wall_ms(void *context)
{
    return 1700000000000;
}

#define CLUSTER(method) "/etcdserverpb.Cluster/" method

static QrEtcdpb__MemberAddResponse *add_member(struct stage *stage, bool learner, char **urls, size_t count)
{
    QrEtcdpb__MemberAddRequest request = QR_ETCDPB__MEMBER_ADD_REQUEST__INIT;
    request.islearner = learner;
    request.peerurls = urls;
    request.n_peerurls = count;
    return ask(stage, CLUSTER("MemberAdd"), &request.base, &qr_etcdpb__member_add_response__descriptor);
}

static QrEtcdpb__MemberListResponse *list_members(struct stage *stage)
{
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    return ask(stage, CLUSTER("MemberList"), &request.base, &qr_etcdpb__member_list_response__descriptor);
}

static const QrEtcdpb__Member *listed(struct stage *stage, uint64_t id)
{
    const QrEtcdpb__MemberListResponse *list = list_members(stage);
    for (size_t i = 0; i < list->n_members; i++)
        if (list->members[i]->id == id)
            return list->members[i];
    return NULL;
}

static void test_member_add(void **state)
{
    struct stage *stage = *state;
    stage->door->config.wall_ms = some_wall_ms;
    char *urls[] = {(char[]){"http://127.0.0.1:9"}, (char[]){"http://127.0.0.1:8"}};
    const QrEtcdpb__MemberAddResponse *answer = add_member(stage, true, urls, 2);
    assert_non_null(answer);
    assert_header(answer->header, 0);
    assert_int_equal(answer->n_members, 4);
    assert_non_null(answer->member);
    uint64_t id = answer->member->id;
    assert_true(answer->member->islearner);
    assert_string_equal(answer->member->name, "");
    assert_int_equal(answer->member->n_peerurls, 2);
    assert_string_equal(answer->member->peerurls[0], "http://127.0.0.1:8"); /* in order, as etcd's */
    const QrEtcdpb__Member *again = listed(stage, id);
    assert_non_null(again);
    assert_string_equal(again->peerurls[1], "http://127.0.0.1:9");

    assert_error(stage, add_member(stage, false, urls + 1, 1), QR_ETCD_E_PEER_URLS_EXIST);
    char *theirs[] = {(char[]){"http://127.0.0.1:1"}}; /* of one that the command line knows */
    assert_error(stage, add_member(stage, false, theirs, 1), QR_ETCD_E_PEER_URLS_EXIST);
    char *voter[] = {(char[]){"http://localhost:7"}};
    answer = add_member(stage, false, voter, 1);
    assert_non_null(answer);
    assert_false(answer->member->islearner);
    assert_int_not_equal(answer->member->id, id);
}

static void test_member_add_bad_urls(void **state)
{
    struct stage *stage = *state;
    static const char *const bad[] = {"",
                                      "nonsense",
                                      "http://",
                                      "http://host",
                                      "http://:1",
                                      "http://host:",
                                      "http://host:0",
                                      "http://host:65536",
                                      "http://host:1/",
                                      "http://host:1/path",
                                      "http://ho st:1",
                                      "http://host:1x",
                                      "http://::1:1",
                                      "https://host:1",
                                      "ftp://host:1",
                                      "http://host:1,http://b:2"};
    assert_error(stage, add_member(stage, true, NULL, 0), QR_ETCD_E_BAD_MEMBER_URLS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *urls[] = {(char *)bad[i]};
        assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_BAD_MEMBER_URLS);
    }
    char *many[QR_ETCD_URLS_MAX + 1];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = qr_arena_format(&stage->arena, "http://[::1]:%zu", 100 + i);
    assert_error(stage, add_member(stage, true, many, QR_ETCD_URLS_MAX + 1), QR_ETCD_E_BAD_MEMBER_URLS);
    assert_non_null(add_member(stage, true, many, QR_ETCD_URLS_MAX));
}

static void *change_member(struct stage *stage, const char *path, uint64_t id)
{
    QrEtcdpb__MemberRemoveRequest request = QR_ETCDPB__MEMBER_REMOVE_REQUEST__INIT; /* all look like this */
    request.id = id;
    return ask(stage, path, &request.base, &qr_etcdpb__member_remove_response__descriptor);
}

static void test_member_remove_and_promote(void **state)
{
    struct stage *stage = *state;
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), 9), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), 9), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), FAKE_OTHER), QR_ETCD_E_NOT_LEARNER);
    const QrEtcdpb__MemberRemoveResponse *answer =
        change_member(stage, CLUSTER("MemberPromote"), FAKE_LEARNER);
    assert_non_null(answer);
    assert_int_equal(answer->n_members, 3);
    assert_false(answer->members[2]->islearner);
    answer = change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER);
    assert_non_null(answer);
    assert_header(answer->header, 0);
    assert_int_equal(answer->n_members, 2);
    assert_null(listed(stage, FAKE_OTHER));
}

static void test_member_replace(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MemberReplaceRequest request = QR_ETCDPB__MEMBER_REPLACE_REQUEST__INIT;
    request.id = FAKE_OTHER;
    request.newid = FAKE_LEARNER;
    const QrEtcdpb__MemberReplaceResponse *answer =
        ask(stage, "/quorate.Cluster/MemberReplace", &request.base,
            &qr_etcdpb__member_replace_response__descriptor);
    assert_non_null(answer);
    assert_int_equal(answer->n_members, 2);
    assert_int_equal(answer->members[1]->id, FAKE_LEARNER);
    assert_false(answer->members[1]->islearner);
}

/* The leader's verdicts in etcd's words. */
static void test_member_refusals(void **state)
{
    struct stage *stage = *state;
    char *urls[] = {(char[]){"http://127.0.0.1:9"}};
    stage->node.verdict = QR_E_NOT_READY;
    assert_error(stage, change_member(stage, CLUSTER("MemberPromote"), FAKE_LEARNER),
                 QR_ETCD_E_LEARNER_NOT_READY);
    stage->node.verdict = QR_E_TOO_LARGE;
    assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_TOO_MANY_MEMBERS);
    stage->node.verdict = QR_E_EXISTS;
    assert_error(stage, add_member(stage, true, urls, 1), QR_ETCD_E_MEMBER_EXISTS);
    stage->node.verdict = QR_E_BUSY;
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER),
                 QR_ETCD_E_TOO_MANY_REQUESTS);
    stage->node.verdict = QR_E_QUORUM; /* nobody has published a name: nobody has started */
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER),
                 QR_ETCD_E_NOT_ENOUGH_STARTED);
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER), QR_ETCD_E_UNHEALTHY);
    assert_error(stage, change_member(stage, CLUSTER("MemberRemove"), FAKE_SELF),
                 QR_ETCD_E_NOT_ENOUGH_STARTED);
}

static QrEtcdpb__MemberUpdateResponse *update_member(struct stage *stage, uint64_t id, char *url)
{
    QrEtcdpb__MemberUpdateRequest request = QR_ETCDPB__MEMBER_UPDATE_REQUEST__INIT;
    request.id = id;
    request.peerurls = &url;
    request.n_peerurls = url ? 1 : 0;
    return ask(stage, CLUSTER("MemberUpdate"), &request.base, &qr_etcdpb__member_update_response__descriptor);
}

/* An update keeps what the member said of itself, and the member keeps what the update said. */
static void test_member_update(void **state)
{
    struct stage *stage = *state;
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_error(stage, update_member(stage, 9, (char[]){"http://127.0.0.1:9"}), QR_ETCD_E_MEMBER_NOT_FOUND);
    assert_error(stage, update_member(stage, FAKE_SELF, NULL), QR_ETCD_E_BAD_MEMBER_URLS);
    assert_error(stage, update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:22"}),
                 QR_ETCD_E_PEER_URLS_EXIST);
    assert_non_null(update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:1"})); /* its own, still */
    const QrEtcdpb__MemberUpdateResponse *answer =
        update_member(stage, FAKE_SELF, (char[]){"http://127.0.0.1:99"});
    assert_non_null(answer);
    assert_string_equal(answer->members[0]->peerurls[0], "http://127.0.0.1:99");
    assert_string_equal(answer->members[0]->name, "one");
    assert_non_null(update_member(stage, FAKE_LEARNER, (char[]){"http://127.0.0.1:98"})); /* not started */

    stage->door->publication.done = false; /* a restart with the old flags */
    stage->door->config.name = "uno";
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    const QrEtcdpb__Member *self = listed(stage, FAKE_SELF);
    assert_string_equal(self->name, "uno");
    assert_string_equal(self->peerurls[0], "http://127.0.0.1:99");
    uint64_t index = stage->node.index;
    stage->door->publication.done = false; /* and one that has nothing to say */
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_true(stage->door->publication.done);
    assert_int_equal(stage->node.index, index);
}

typedef struct listing {
    size_t count;
    uint64_t ids[4];
    char first[32], name[32];
} listing;

static void on_listed(void *context, const qr_etcd_member *list, size_t count)
{
    listing *told = ((struct stage *)context)->told;
    told->count = count;
    for (size_t i = 0; i < count && i < 4; i++)
        told->ids[i] = list[i].id;
    if (count) {
        snprintf(told->first, sizeof told->first, "%s", list[0].peer_urls[0]);
        snprintf(told->name, sizeof told->name, "%s", list[0].name);
    }
}

static void test_listing(void **state)
{
    struct stage *stage = *state;
    listing told = {.count = 9};
    stage->told = &told;
    qr_etcd_door_list(stage->door); /* nobody wants to know */
    assert_int_equal(stage->node.count, 0);
    stage->door->config.listed = on_listed;
    qr_etcd_door_list(stage->door);
    qr_etcd_door_list(stage->door);
    assert_int_equal(stage->node.count, 1);
    fake_node_turn(&stage->node);
    assert_int_equal(told.count, 0);
    qr_etcd_door_publish(stage->door, 0);
    fake_node_turn(&stage->node);
    assert_non_null(update_member(stage, FAKE_OTHER, (char[]){"http://127.0.0.1:98"}));
    assert_non_null(change_member(stage, CLUSTER("MemberRemove"), FAKE_OTHER)); /* is listed all the same */
    qr_etcd_door_list(stage->door);
    fake_node_turn(&stage->node);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.ids[0], FAKE_SELF);
    assert_int_equal(told.ids[1], FAKE_OTHER);
    assert_string_equal(told.first, "http://127.0.0.1:1");
    assert_string_equal(told.name, "one");
}

/* ---- the catalogue ---- */

static void test_catalogue_entries(void **state)
{
    qr_catalogue_entry entry = {.name = qr_slice_text("n"), .client.count = 2, .peer.count = 1}, read;
    entry.client.list[0] = qr_slice_text("http://a");
    entry.client.list[1] = qr_slice_text("");
    entry.peer.list[0] = qr_slice_text("http://p:1");
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_catalogue_encode(&entry, &bytes);
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_OK);
    assert_true(qr_slice_equal(read.name, entry.name) && read.client.count == 2 && read.peer.count == 1);
    assert_true(qr_slice_equal(read.client.list[0], entry.client.list[0]));
    assert_true(qr_slice_equal(read.peer.list[0], entry.peer.list[0]));
    for (size_t size = 0; size < bytes.size; size++) /* every cut is noticed */
        assert_int_not_equal(qr_catalogue_decode(qr_slice_of(bytes.data, size), &read), QR_OK);
    qr_buffer_u8(&bytes, 0);
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_E_INVALID);
    bytes.data[0] = QR_CATALOGUE_FORMAT + 1;
    assert_int_equal(qr_catalogue_decode(qr_buffer_slice(&bytes), &read), QR_E_BAD_VERSION);
    qr_buffer_free(&bytes);
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(0x0102030405060708, key);
    assert_memory_equal(key, "\1\2\3\4\5\6\7\10", 8);
}

/* What members of the first version wrote: no peer URLs. */
static void test_catalogue_format_1(void **state)
{
    static const uint8_t bytes[] = {1, 1, 'n', 1, 8, 'h', 't', 't', 'p', ':', '/', '/', 'a'};
    qr_catalogue_entry read;
    assert_int_equal(qr_catalogue_decode(qr_slice_of(bytes, sizeof bytes), &read), QR_OK);
    assert_true(qr_slice_equal(read.name, qr_slice_text("n")) && read.peer.count == 0);
    assert_true(qr_slice_equal(read.client.list[0], qr_slice_text("http://a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_ROW(test_members_and_publication), STAGE_ROW(test_member_add),
        STAGE_ROW(test_member_add_bad_urls),     STAGE_ROW(test_member_remove_and_promote),
        STAGE_ROW(test_member_replace),          STAGE_ROW(test_member_refusals),
        STAGE_ROW(test_member_update),           STAGE_ROW(test_listing),
        STAGE_ROW(test_catalogue_entries),       STAGE_ROW(test_catalogue_format_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
