#include "door/zookeeper/path.h"

static bool continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Takes one character of up to three bytes; one that is not allowed: false. */
static bool take_character(qr_slice path, size_t *at, uint32_t *character)
{
    const uint8_t *data = path.data + *at;
    size_t left = path.size - *at;
    if (data[0] < 0x80) {
        *character = data[0];
        *at += 1;
    } else if (data[0] >= 0xc2 && data[0] < 0xe0 && left >= 2 && continues(data[1])) {
        *character = (uint32_t)(data[0] & 0x1f) << 6 | (data[1] & 0x3f);
        *at += 2;
    } else if ((data[0] & 0xf0) == 0xe0 && left >= 3 && continues(data[1]) && continues(data[2])) {
        *character = (uint32_t)(data[0] & 0x0f) << 12 | (uint32_t)(data[1] & 0x3f) << 6 | (data[2] & 0x3f);
        *at += 3;
        if (*character < 0x800) /* written longer than it is */
            return false;
    } else {
        return false;
    }
    uint32_t it = *character;
    return it >= 0x20 && !(it >= 0x7f && it <= 0x9f) && !(it >= 0xd800 && it <= 0xf8ff) && it < 0xfff0;
}

static bool component_valid(qr_slice component)
{
    return component.size > 0 && !qr_slice_equal(component, qr_slice_text(".")) &&
           !qr_slice_equal(component, qr_slice_text(".."));
}

bool qr_zookeeper_path_valid(qr_slice path)
{
    if (path.size == 0 || path.data[0] != '/')
        return false;
    if (path.size == 1)
        return true;
    size_t begin = 1, at = 1;
    while (at < path.size) {
        size_t before = at;
        uint32_t character;
        if (!take_character(path, &at, &character))
            return false;
        if (character != '/')
            continue;
        if (!component_valid(qr_slice_of(path.data + begin, before - begin)))
            return false;
        begin = at;
    }
    return component_valid(qr_slice_of(path.data + begin, path.size - begin));
}

qr_slice qr_zookeeper_path_parent(qr_slice path)
{
    size_t size = path.size;
    while (size > 0 && path.data[size - 1] != '/')
        size--;
    QR_ASSERT(size > 0);
    return qr_slice_of(path.data, size == 1 ? 1 : size - 1);
}

qr_slice qr_zookeeper_path_key(qr_slice root, qr_slice path, qr_arena *arena)
{
    if (root.size == 0)
        return path;
    if (path.size == 1)
        return root;
    uint8_t *key = qr_arena_alloc(arena, root.size + path.size);
    memcpy(key, root.data, root.size);
    memcpy(key + root.size, path.data, path.size);
    return qr_slice_of(key, root.size + path.size);
}

bool qr_zookeeper_path_of_key(qr_slice root, qr_slice key, qr_slice *path)
{
    if (!qr_slice_starts(key, root))
        return false;
    bool is_root = key.size == root.size;
    *path = is_root ? qr_slice_text("/") : qr_slice_of(key.data + root.size, key.size - root.size);
    /* A slash alone behind the root is no path, and must not be taken for the root itself. */
    return root.size == 0 || is_root || (path->data[0] == '/' && path->size > 1);
}
