/* The walk over LMDB's pages. Layouts as in lmdb 0.9's mdb.c (MDB_page, MDB_node, MDB_db, MDB_meta), with
 * 64-bit little-endian numbers; they are read with memcpy, as damaged offsets may be of any alignment. */
#include "store/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(size_t) == 8, "as the file has them");

#define META_MAGIC    0xBEEFC0DEu
#define META_VERSION  1u
#define META_BYTES    152u /* with the page header */
#define PAGE_HEADER   16u
#define NODE_HEADER   8u
#define KEY_MOST      511u
#define DEPTH_MOST    32u
#define PAGE_MIN      512u
#define PAGE_MOST     32768u
#define FIRST_PAGE    2u /* after the meta pages */
#define NO_PAGE       UINT64_MAX
#define FREE_DB_FLAGS 0x08u /* integer keys */

enum page_flags { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum node_flags { NODE_BIG = 1, NODE_DATABASE = 2 };

/* MDB_db */
struct tree {
    uint32_t page_bytes; /* of the list of free pages: the file's page size */
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

/* MDB_meta */
struct meta {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree free_pages, main;
    uint64_t last_page, transaction;
};

_Static_assert(sizeof(struct tree) == 48 && PAGE_HEADER + sizeof(struct meta) == META_BYTES, "LMDB's layout");

enum tree_role { ROLE_FREE, ROLE_MAIN, ROLE_NAMED };

struct walk {
    int file;
    const char *name;
    struct meta meta;
    uint32_t page_bytes;
    uint64_t page_count;   /* page numbers are below it */
    unsigned char *seen;   /* a bit a page: in use, or free */
    unsigned char *levels; /* [DEPTH_MOST] pages: where each level of a tree is read to */
    uint64_t pages_read;
    struct error *error;
};

struct node {
    const unsigned char *at;
    uint32_t key_bytes, data_bytes, flags; /* of a leaf's */
    uint64_t child;                        /* of a branch's */
};

static uint16_t read_u16(const unsigned char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t read_u32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t read_u64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static enum status bad_page(const struct walk *walk, uint64_t page, const char *what)
{
    return error_set(walk->error, CAIRN_CORRUPT, "%s is damaged: page %llu %s", walk->name,
                     (unsigned long long)page, what);
}

static enum status read_at(const struct walk *walk, void *to, size_t bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(walk->file, (char *)to + done, bytes - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(walk->error, errno, "%s: cannot read", walk->name);
        if (got == 0)
            return error_set(walk->error, CAIRN_CORRUPT, "%s ends within a page", walk->name);
        done += (size_t)got;
    }
    return CAIRN_OK;
}

/* ---- meta pages */

static bool page_size_is_good(uint32_t bytes)
{
    return bytes >= PAGE_MIN && bytes <= PAGE_MOST && (bytes & (bytes - 1)) == 0;
}

static enum status meta_read(struct walk *walk, uint64_t offset, uint64_t file_bytes, struct meta *meta)
{
    unsigned char bytes[META_BYTES];
    enum status status;

    if (offset + META_BYTES > file_bytes)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is too short for a store (%llu bytes)", walk->name,
                         (unsigned long long)file_bytes);
    status = read_at(walk, bytes, sizeof(bytes), offset);
    if (status != CAIRN_OK)
        return status;
    memcpy(meta, bytes + PAGE_HEADER, sizeof(*meta));
    if (!(read_u16(bytes + 10) & PAGE_META) || meta->magic != META_MAGIC)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is no LMDB file, or its head is damaged",
                         walk->name);
    if (meta->version != META_VERSION)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is of LMDB's format %u, this program reads %u",
                         walk->name, meta->version, META_VERSION);
    if (!page_size_is_good(meta->free_pages.page_bytes) || meta->free_pages.flags != FREE_DB_FLAGS)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is not a store of ours, or its head is damaged",
                         walk->name);
    return CAIRN_OK;
}

/* The newer meta page, and whether the file is as long as it says. */
static enum status metas_read(struct walk *walk, uint64_t file_bytes)
{
    struct meta first = {.magic = 0}, second;
    enum status status = meta_read(walk, 0, file_bytes, &first);
    uint64_t last, needed;

    if (status == CAIRN_OK)
        status = meta_read(walk, first.free_pages.page_bytes, file_bytes, &second);
    if (status != CAIRN_OK)
        return status;
    if (first.free_pages.page_bytes != second.free_pages.page_bytes)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is damaged: its heads disagree", walk->name);
    walk->meta = first.transaction > second.transaction ? first : second;
    walk->page_bytes = first.free_pages.page_bytes;
    last = walk->meta.last_page;
    if (last < FIRST_PAGE - 1 || last >= UINT64_MAX / 2 / walk->page_bytes)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is damaged: it says it has %llu pages", walk->name,
                         (unsigned long long)last);
    walk->page_count = last + 1;
    needed = walk->page_count * walk->page_bytes;
    if (file_bytes < needed)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is shorter than what it holds (%llu of %llu bytes)",
                         walk->name, (unsigned long long)file_bytes, (unsigned long long)needed);
    return CAIRN_OK;
}

/* ---- pages */

/* Marks pages as seen; each may be seen once. by: the page that names them. */
static enum status pages_mark(const struct walk *walk, uint64_t page, uint64_t count, uint64_t by)
{
    if (page < FIRST_PAGE || page >= walk->page_count || count > walk->page_count - page)
        return bad_page(walk, by, "names pages that do not exist");
    for (uint64_t end = page + count; page < end; page++) {
        if (walk->seen[page / 8] & 1u << page % 8)
            return bad_page(walk, page, "is in use twice");
        walk->seen[page / 8] |= (unsigned char)(1u << page % 8);
    }
    return CAIRN_OK;
}

/* Node i of a page whose header is good, if it lies within the page. */
static bool node_read(const struct walk *walk, const unsigned char *page, uint32_t i, bool is_leaf,
                      struct node *node)
{
    uint32_t offset = read_u16(page + PAGE_HEADER + 2 * i), size;

    if (offset < read_u16(page + 14) || offset + NODE_HEADER > walk->page_bytes)
        return false;
    node->at = page + offset;
    node->key_bytes = read_u16(node->at + 6);
    node->flags = read_u16(node->at + 4);
    node->data_bytes = read_u32(node->at);
    node->child = node->data_bytes | (uint64_t)node->flags << 32;
    if (node->key_bytes > KEY_MOST)
        return false;
    size = NODE_HEADER + node->key_bytes;
    if (is_leaf && node->flags & NODE_BIG)
        size += sizeof(uint64_t);
    else if (is_leaf && node->data_bytes > walk->page_bytes)
        return false;
    else if (is_leaf)
        size += node->data_bytes;
    return offset + size <= walk->page_bytes;
}

static const unsigned char *node_data(const struct node *node)
{
    return node->at + NODE_HEADER + node->key_bytes;
}

/* The run of pages that holds a big value; *page is its first. */
static enum status big_check(struct walk *walk, uint64_t by, const struct node *node, uint64_t *page)
{
    unsigned char header[PAGE_HEADER];
    uint64_t needed = (PAGE_HEADER - 1 + (uint64_t)node->data_bytes) / walk->page_bytes + 1;
    enum status status;

    *page = read_u64(node_data(node));
    if (*page < FIRST_PAGE || *page >= walk->page_count)
        return bad_page(walk, by, "names pages that do not exist");
    status = read_at(walk, header, sizeof(header), *page * walk->page_bytes);
    if (status != CAIRN_OK)
        return status;
    walk->pages_read++;
    if (read_u64(header) != *page || read_u16(header + 10) != PAGE_OVERFLOW || read_u32(header + 12) < needed)
        return bad_page(walk, *page, "is not the large value that it should be");
    return pages_mark(walk, *page, read_u32(header + 12), by);
}

/* One record of the list of free pages: their count, then the page numbers, falling. */
static enum status free_record_check(const struct walk *walk, uint64_t by, const unsigned char *data,
                                     size_t bytes)
{
    uint64_t count = bytes >= 8 ? read_u64(data) : UINT64_MAX, above = NO_PAGE;
    enum status status = CAIRN_OK;

    if (count > bytes / 8 - 1)
        return bad_page(walk, by, "has a broken list of free pages");
    for (uint64_t i = 1; i <= count && status == CAIRN_OK; i++) {
        uint64_t page = read_u64(data + 8 * i);

        if (page >= above)
            return bad_page(walk, by, "has a broken list of free pages");
        above = page;
        status = pages_mark(walk, page, 1, by);
    }
    return status;
}

/* A record of free pages that is large enough for pages of its own. */
static enum status free_big_check(struct walk *walk, uint64_t by, const struct node *node, uint64_t page)
{
    unsigned char *data = malloc(node->data_bytes);
    enum status status;

    if (!data)
        return error_set(walk->error, CAIRN_NO_MEMORY, "%s: out of memory", walk->name);
    status = read_at(walk, data, node->data_bytes, page * walk->page_bytes + PAGE_HEADER);
    if (status == CAIRN_OK)
        status = free_record_check(walk, by, data, node->data_bytes);
    free(data);
    return status;
}

static enum status tree_check(struct walk *walk, const struct tree *tree, enum tree_role role,
                              uint32_t level);

static enum status leaf_node_check(struct walk *walk, uint64_t number, const struct node *node,
                                   enum tree_role role, uint32_t level)
{
    struct tree named;
    uint64_t page;
    enum status status;

    if (node->key_bytes == 0 || (role == ROLE_FREE && node->key_bytes != sizeof(uint64_t)))
        return bad_page(walk, number, "has a broken key");
    if (node->flags == NODE_BIG) {
        status = big_check(walk, number, node, &page);
        return status == CAIRN_OK && role == ROLE_FREE ? free_big_check(walk, number, node, page) : status;
    }
    if (node->flags == NODE_DATABASE && role == ROLE_MAIN && node->data_bytes == sizeof(named)) {
        memcpy(&named, node_data(node), sizeof(named));
        return tree_check(walk, &named, ROLE_NAMED, level + 1);
    }
    if (node->flags != 0)
        return bad_page(walk, number, "has a broken record");
    return role == ROLE_FREE ? free_record_check(walk, number, node_data(node), node->data_bytes) : CAIRN_OK;
}

/* How many nodes a page has; 0 when its header is broken. */
static uint32_t page_nodes(const struct walk *walk, const unsigned char *page, uint64_t number, bool is_leaf)
{
    uint32_t lower = read_u16(page + 12), upper = read_u16(page + 14);

    if (read_u64(page) != number || read_u16(page + 10) != (is_leaf ? PAGE_LEAF : PAGE_BRANCH) ||
        lower < PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > walk->page_bytes)
        return 0;
    return (lower - PAGE_HEADER) / 2;
}

/* The nodes of a page lie side by side: they cannot need more than there is above its free space. */
static bool nodes_fit(const struct walk *walk, const unsigned char *page, uint32_t count, bool is_leaf)
{
    uint64_t used = 0;
    struct node node;

    for (uint32_t i = 0; i < count; i++) {
        if (!node_read(walk, page, i, is_leaf, &node))
            return false;
        used += NODE_HEADER + node.key_bytes;
        if (is_leaf)
            used += node.flags & NODE_BIG ? sizeof(uint64_t) : node.data_bytes;
    }
    return used <= walk->page_bytes - read_u16(page + 14);
}

/* A page and what is below it. height: 1 for leaves. level: which of the buffers it may use. */
static enum status page_check(struct walk *walk, uint64_t number, uint64_t by, enum tree_role role,
                              uint32_t height, uint32_t level)
{
    unsigned char *page = walk->levels + (size_t)level * walk->page_bytes;
    bool is_leaf = height == 1;
    uint32_t count;
    enum status status = pages_mark(walk, number, 1, by);

    if (status != CAIRN_OK || (is_leaf && walk->pages_read > PAGES_CHECKED_MOST))
        return status;
    status = read_at(walk, page, walk->page_bytes, number * walk->page_bytes);
    if (status != CAIRN_OK)
        return status;
    walk->pages_read++;
    count = page_nodes(walk, page, number, is_leaf);
    if (count == 0 || (!is_leaf && role != ROLE_FREE && count < 2))
        return bad_page(walk, number,
                        is_leaf ? "is not the leaf that it should be"
                                : "is not the branch that it should be");
    if (!nodes_fit(walk, page, count, is_leaf))
        return bad_page(walk, number, "has records outside of itself");
    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        struct node node;

        if (!node_read(walk, page, i, is_leaf, &node))
            return bad_page(walk, number, "has records outside of itself");
        status = is_leaf ? leaf_node_check(walk, number, &node, role, level)
                         : page_check(walk, node.child, number, role, height - 1, level + 1);
    }
    return status;
}

static enum status tree_check(struct walk *walk, const struct tree *tree, enum tree_role role, uint32_t level)
{
    uint32_t allowed = role == ROLE_MAIN ? 0 : FREE_DB_FLAGS;

    if ((tree->flags & ~allowed) != 0 || level + tree->depth > DEPTH_MOST)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is not a store of ours, or damaged", walk->name);
    if (tree->root == NO_PAGE)
        return tree->depth == 0 && tree->entries == 0
                   ? CAIRN_OK
                   : error_set(walk->error, CAIRN_CORRUPT, "%s is damaged: a tree has no root", walk->name);
    if (tree->depth == 0)
        return error_set(walk->error, CAIRN_CORRUPT, "%s is damaged: a tree has no depth", walk->name);
    return page_check(walk, tree->root, 0, role, tree->depth, level);
}

enum status pages_check(int file, uint64_t file_bytes, const char *name, struct error *error)
{
    struct walk walk = {.file = file, .name = name, .error = error};
    enum status status = metas_read(&walk, file_bytes);

    if (status != CAIRN_OK)
        return status;
    walk.seen = calloc(1, walk.page_count / 8 + 1);
    walk.levels = malloc((size_t)DEPTH_MOST * walk.page_bytes);
    if (!walk.seen || !walk.levels)
        status = error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", name);
    if (status == CAIRN_OK)
        status = tree_check(&walk, &walk.meta.main, ROLE_MAIN, 0);
    if (status == CAIRN_OK)
        status = tree_check(&walk, &walk.meta.free_pages, ROLE_FREE, 0);
    free(walk.seen);
    free(walk.levels);
    return status;
}
