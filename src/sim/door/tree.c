#include "sim/door/tree.h"

static const qr_simd_state absent;

/* ------------------------------------------------------------------- paths ---- */

static uint32_t add_path(qr_simd_tree *tree, qr_slice name, uint32_t parent)
{
    if (tree->count == tree->room) {
        tree->room = tree->room ? tree->room * 2 : 64;
        tree->paths = qr_realloc(tree->paths, tree->room * sizeof *tree->paths);
    }
    uint32_t number = tree->count++;
    qr_simd_path *path = &tree->paths[number];
    *path = (qr_simd_path){.name = qr_arena_copy(tree->arena, name),
                           .parent = parent,
                           .child = QR_SIMD_NOWHERE,
                           .sibling = QR_SIMD_NOWHERE};
    if (parent != QR_SIMD_NOWHERE) {
        path->sibling = tree->paths[parent].child;
        tree->paths[parent].child = number;
    }
    return number;
}

static void add_state(qr_simd_path *path, const qr_simd_state *state)
{
    if (path->count == path->room) {
        path->room = path->room ? path->room * 2 : 4;
        path->states = qr_realloc(path->states, path->room * sizeof *path->states);
    }
    path->states[path->count++] = *state;
}

void qr_simd_tree_init(qr_simd_tree *tree, qr_arena *arena)
{
    *tree = (qr_simd_tree){.arena = arena};
    uint32_t root = add_path(tree, qr_slice_text("/"), QR_SIMD_NOWHERE);
    add_state(&tree->paths[root], &(qr_simd_state){.present = true});
}

void qr_simd_tree_free(qr_simd_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++)
        qr_free(tree->paths[i].states);
    qr_free(tree->paths);
    qr_free(tree->rows);
}

static uint32_t parent_of(qr_simd_tree *tree, qr_slice name)
{
    size_t size = name.size;
    while (size > 1 && name.data[size - 1] != '/')
        size--;
    return size > 1 ? qr_simd_path_of(tree, qr_slice_of(name.data, size - 1)) : QR_SIMD_ROOT;
}

uint32_t qr_simd_path_of(qr_simd_tree *tree, qr_slice name)
{
    if (name.size == 1)
        return QR_SIMD_ROOT;
    uint32_t parent = parent_of(tree, name), at = tree->paths[parent].child;
    while (at != QR_SIMD_NOWHERE && !qr_slice_equal(tree->paths[at].name, name))
        at = tree->paths[at].sibling;
    return at != QR_SIMD_NOWHERE ? at : add_path(tree, name, parent);
}

const qr_simd_state *qr_simd_at(const qr_simd_tree *tree, uint32_t number, uint64_t revision)
{
    const qr_simd_path *path = &tree->paths[number];
    size_t low = 0, high = path->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (path->states[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &path->states[low - 1] : &absent;
}

const qr_simd_state *qr_simd_now(const qr_simd_tree *tree, uint32_t path)
{
    return qr_simd_at(tree, path, UINT64_MAX);
}

/* The root has a child that is in no tree (/zookeeper), and counts its children's changes from -1 on. */
void qr_simd_stat(uint32_t path, const qr_simd_state *state, qr_jute_stat *stat)
{
    bool root = path == QR_SIMD_ROOT;
    uint64_t newest = state->children_at > state->created_at ? state->children_at : state->created_at;
    *stat = (qr_jute_stat){.czxid = (int64_t)state->created_at,
                           .mzxid = (int64_t)state->changed_at,
                           .version = (int32_t)state->version,
                           .cversion = (int32_t)state->changes - root,
                           .ephemeral_owner = state->owner,
                           .data_length = (int32_t)state->data.size,
                           .num_children = (int32_t)state->children + root,
                           .pzxid = (int64_t)newest};
}

size_t qr_simd_row_after(const qr_simd_tree *tree, uint64_t revision)
{
    size_t low = 0, high = tree->row_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tree->rows[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

qr_simd_row *qr_simd_row_of(const qr_simd_tree *tree, uint64_t revision)
{
    size_t at = qr_simd_row_after(tree, revision);
    return at > 0 && tree->rows[at - 1].revision == revision ? &tree->rows[at - 1] : NULL;
}

/* -------------------------------------------------------------------- views ---- */

void qr_simd_view_begin(qr_simd_view *view, qr_simd_tree *tree, uint64_t base, uint64_t revision)
{
    view->tree = tree;
    view->base = base;
    view->revision = revision;
    view->touched_count = view->change_count = 0;
}

void qr_simd_view_free(qr_simd_view *view)
{
    qr_free(view->touched);
    qr_free(view->changes);
}

/* Valid until the next one is touched. */
static qr_simd_state *touch(qr_simd_view *view, uint32_t path)
{
    for (size_t i = 0; i < view->touched_count; i++)
        if (view->touched[i].path == path)
            return &view->touched[i].state;
    if (view->touched_count == view->touched_room) {
        view->touched_room = view->touched_room ? view->touched_room * 2 : 16;
        view->touched = qr_realloc(view->touched, view->touched_room * sizeof *view->touched);
    }
    struct qr_simd_touched *touched = &view->touched[view->touched_count++];
    touched->path = path;
    touched->state = *qr_simd_at(view->tree, path, view->base);
    return &touched->state;
}

const qr_simd_state *qr_simd_seen(qr_simd_view *view, uint32_t path)
{
    for (size_t i = 0; i < view->touched_count; i++)
        if (view->touched[i].path == path)
            return &view->touched[i].state;
    return qr_simd_at(view->tree, path, view->base);
}

static void add_change(qr_simd_view *view, qr_simd_change change)
{
    const qr_simd_state *before = qr_simd_at(view->tree, change.path, view->base);
    change.leased = before->keyed && before->owner != 0;
    if (view->change_count == view->change_room) {
        view->change_room = view->change_room ? view->change_room * 2 : 16;
        view->changes = qr_realloc(view->changes, view->change_room * sizeof *view->changes);
    }
    view->changes[view->change_count++] = change;
}

/* The path has come: so have those above it that were not there. How many directories it concerns. */
static uint8_t rise(qr_simd_view *view, uint32_t path)
{
    uint8_t levels = 0;
    bool was_there = false;
    for (uint32_t at = view->tree->paths[path].parent; at != QR_SIMD_NOWHERE && !was_there;
         at = view->tree->paths[at].parent) {
        qr_simd_state *state = touch(view, at);
        was_there = state->present;
        if (!was_there)
            *state =
                (qr_simd_state){.present = true, .created_at = view->revision, .changed_at = view->revision};
        state->born++;
        state->changes++;
        state->children++;
        state->children_at = view->revision;
        levels++;
    }
    return levels;
}

/* The path has gone, and with it those above it that were there for it alone. */
static uint8_t fall(qr_simd_view *view, uint32_t path)
{
    uint8_t levels = 0;
    bool stays = false;
    for (uint32_t at = view->tree->paths[path].parent; at != QR_SIMD_NOWHERE && !stays;
         at = view->tree->paths[at].parent) {
        qr_simd_state *state = touch(view, at);
        state->changes++;
        state->children--;
        state->children_at = view->revision;
        levels++;
        stays = state->keyed || state->children > 0 || at == QR_SIMD_ROOT;
        if (!stays)
            *state = absent;
    }
    return levels;
}

void qr_simd_put(qr_simd_view *view, uint32_t path, qr_slice data, int64_t owner, uint8_t kind)
{
    qr_simd_state *state = touch(view, path);
    uint8_t levels = 0;
    if (state->present) {
        state->version++;
    } else {
        *state = (qr_simd_state){.present = true, .created_at = view->revision};
        levels = rise(view, path);
        state = touch(view, path);
    }
    state->keyed = true;
    state->changed_at = view->revision;
    state->data = data;
    state->owner = owner;
    state->kind = kind;
    add_change(view,
               (qr_simd_change){.path = path, .levels = levels, .kind = kind, .owner = owner, .data = data});
}

void qr_simd_delete(qr_simd_view *view, uint32_t path)
{
    qr_simd_state *state = touch(view, path);
    uint8_t levels = 0;
    if (state->children > 0) {
        state->keyed = false;
        state->version++;
        state->changed_at = view->revision;
        state->owner = state->kind = 0;
        state->data = qr_slice_of(NULL, 0);
    } else {
        *state = absent;
        levels = fall(view, path);
    }
    add_change(view, (qr_simd_change){.path = path, .deleted = true, .levels = levels});
}

/* ------------------------------------------------------------------- events ---- */

typedef struct event_list {
    const qr_simd_tree *tree;
    qr_simd_event *events; /* of the arena */
    size_t count;
} event_list;

static void add_event(event_list *list, int32_t type, uint32_t path)
{
    list->events[list->count++] = (qr_simd_event){type, path};
}

static uint32_t above(const event_list *list, uint32_t path, size_t levels)
{
    while (levels-- > 0)
        path = list->tree->paths[path].parent;
    return path;
}

/* Directories that came or went with the path: they come before it and go after it. */
static void tell_change(event_list *list, const qr_simd_change *change)
{
    if (change->levels == 0) {
        add_event(list, QR_SIMD_DATA, change->path);
    } else if (!change->deleted) {
        for (size_t level = change->levels; level > 0; level--) {
            add_event(list, QR_SIMD_CREATED, above(list, change->path, level - 1));
            add_event(list, QR_SIMD_CHILDREN, above(list, change->path, level));
        }
    } else {
        for (size_t level = 1; level <= change->levels; level++) {
            add_event(list, QR_SIMD_DELETED, above(list, change->path, level - 1));
            add_event(list, QR_SIMD_CHILDREN, above(list, change->path, level));
        }
    }
}

static bool was_told(const event_list *list, size_t from, qr_simd_event event)
{
    for (size_t i = from; i < list->count; i++)
        if (list->events[i].type == event.type && list->events[i].path == event.path)
            return true;
    return false;
}

/* What ends with a lease: all of it first, then each directory once. */
static void tell_lease_end(event_list *list, const qr_simd_view *view)
{
    for (size_t i = 0; i < view->change_count; i++)
        add_event(list, view->changes[i].levels ? QR_SIMD_DELETED : QR_SIMD_DATA, view->changes[i].path);
    size_t directories = list->count;
    for (size_t i = 0; i < view->change_count; i++) {
        const qr_simd_change *change = &view->changes[i];
        for (size_t level = 1; level <= change->levels; level++) {
            uint32_t path = above(list, change->path, level);
            if (!was_told(list, directories, (qr_simd_event){QR_SIMD_CHILDREN, path}))
                add_event(list, QR_SIMD_CHILDREN, path);
            if (level < change->levels)
                add_event(list, QR_SIMD_DELETED, path);
        }
    }
}

static bool ends_lease(const qr_simd_view *view)
{
    bool all = view->change_count > 1;
    for (size_t i = 0; i < view->change_count; i++)
        all = all && view->changes[i].deleted && view->changes[i].leased;
    return all;
}

qr_simd_row *qr_simd_view_learn(qr_simd_view *view)
{
    qr_simd_tree *tree = view->tree;
    size_t events_max = 1;
    for (size_t i = 0; i < view->change_count; i++)
        events_max += 2 * (size_t)view->changes[i].levels + 1;
    event_list list = {.tree = tree, .events = qr_arena_zero(tree->arena, events_max, sizeof *list.events)};
    if (ends_lease(view))
        tell_lease_end(&list, view);
    else
        for (size_t i = 0; i < view->change_count; i++)
            tell_change(&list, &view->changes[i]);
    for (size_t i = 0; i < view->touched_count; i++) {
        view->touched[i].state.revision = view->revision;
        add_state(&tree->paths[view->touched[i].path], &view->touched[i].state);
    }
    if (tree->row_count == tree->row_room) {
        tree->row_room = tree->row_room ? tree->row_room * 2 : 256;
        tree->rows = qr_realloc(tree->rows, tree->row_room * sizeof *tree->rows);
    }
    qr_slice changes = qr_slice_of(view->changes, view->change_count * sizeof *view->changes);
    tree->rows[tree->row_count] = (qr_simd_row){
        .revision = view->revision,
        .changes = (const qr_simd_change *)(const void *)qr_arena_copy(tree->arena, changes).data,
        .change_count = view->change_count,
        .events = list.events,
        .event_count = list.count};
    tree->revision = view->revision;
    return &tree->rows[tree->row_count++];
}
