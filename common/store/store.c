/* The durable map over LMDB. Knows nothing of what keys and values mean.
 *
 * Problem: LMDB with a writable map is fast and durable, but a page touched on a full disk is a SIGBUS, a
 * damaged file is a wild read, and any LMDB file is as good as ours to it. Design: before each write the
 * file's blocks are allocated (map_file.h), so that a full disk is an error and not a signal; the file's
 * pages are checked before it is mapped (pages.h); the data lies in a named database whose name is the
 * format. One process at a time is held by an flock beside the map. Rejected: LMDB without a writable map
 * (twice the copies, and a transaction's pages all in memory), NOSYNC with a sync at the end (a power cut
 * between the two may leave a tree without its pages). */
#include "store/store.h"

#include "base/order.h"
#include "store/inside.h"
#include "store/map_file.h"
#include "store/pages.h"
#include "store/table.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_DATABASE "cairn.1" /* the name is the format */
#define STORE_PATH_MAX 4096
/* What this file and pages.c know of LMDB's format. */
#if MDB_VERSION_MAJOR != 0 || MDB_VERSION_MINOR != 9
#error "another LMDB: compare its format with pages.c"
#endif
#define LMDB_PAGE_HEAD 16
#define STORE_MAP_MIN  ((size_t)1 << 20)
#define STORE_READERS  64
/* No readahead by the map's faults: trees are read at random, large values are asked for as a whole, and a
 * page that a fault brings in with a large piece of the file around it makes all of that piece dirty when it
 * is changed, at a cost of half a MiB's copying. */
#define STORE_FLAGS (MDB_WRITEMAP | MDB_NOTLS | MDB_NORDAHEAD)
/* LMDB's table of readers: a cache line for each, and a head. */
#define STORE_READERS_BYTES ((STORE_READERS + 8) * 64)
/* Pages of the tree that one write can dirty: the path from the root, copied and split. */
#define STORE_PAGES_A_WRITE 8
/* And so many leaves: its own, and one that it is merged or split with. */
#define STORE_LEAVES_A_WRITE 2
/* A page that was split is at least a third full. */
#define STORE_SPLIT_FILL 3
/* Pages that a commit itself writes: roots and the list of free pages (which also grows with the values). */
#define STORE_PAGES_A_COMMIT 64
/* What the tree needs for a record beside its bytes, at most: a head, a place in its page, a page's number.
 */
#define STORE_NODE_BYTES 20
/* One page of the list of free pages names so many. */
#define STORE_PAGES_A_LIST 256

struct store {
    MDB_env *environment;
    MDB_dbi database;
    int lock;       /* descriptor of the lock file, -1: none */
    unsigned flags; /* LMDB's, beside the usual ones */
    size_t page_bytes;
    struct map_file file; /* the writer's thread */
    char directory[STORE_PATH_MAX];
};

struct store_transaction {
    struct store *store;
    MDB_txn *handle;
    /* For writes: what the file may be used for. */
    uint64_t base_pages;                 /* used when it began, and for the commit */
    uint64_t branch_pages, leaf_pages;   /* of the trees when it began */
    uint64_t writes, node_bytes, values; /* so far; values: pages of large ones */
    uint64_t freed;                      /* pages of whole tables */
};

/* The one table of LMDB's codes. */
static enum status status_of_code(int code)
{
    switch (code) {
    case MDB_NOTFOUND:
        return CAIRN_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return CAIRN_FULL;
    case ENOMEM:
        return CAIRN_NO_MEMORY;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return CAIRN_CORRUPT;
    case MDB_BAD_VALSIZE:
    case EINVAL:
        return CAIRN_INVALID;
    default:
        return CAIRN_IO;
    }
}

static enum status store_error(const struct store *store, int code, const char *what, struct error *error)
{
    enum status status = status_of_code(code);

    if (code == MDB_MAP_FULL)
        error_set(error, status,
                  "%s: %s: its map of %llu MiB is full, and this process may not have more address space "
                  "(ulimit -v): allow more and start again from what was committed, which is intact",
                  store->directory, what, (unsigned long long)(store->file.map_bytes >> 20));
    else
        error_set(error, status, "%s: %s: %s", store->directory, what, mdb_strerror(code));
    if (error)
        error->system = code;
    return status;
}

/* Makes the entries of a directory durable. */
static enum status directory_sync(const char *directory, struct error *error)
{
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = descriptor < 0 || fsync(descriptor) != 0;
    int code = errno;

    if (descriptor >= 0)
        close(descriptor);
    return failed ? error_system(error, code, "%s: cannot sync the directory", directory) : CAIRN_OK;
}

/* The directory that holds the entry `path`, durable. */
static enum status parent_sync(const char *path, struct error *error)
{
    char parent[STORE_PATH_MAX];
    const char *cut = strrchr(path, '/');
    size_t length = cut ? (size_t)(cut - path) : 0;

    if (!cut)
        return directory_sync(".", error);
    memcpy(parent, path, length);
    parent[length] = '\0';
    return directory_sync(length ? parent : "/", error);
}

/* Makes the directory and its parents. */
static enum status directory_make(const char *directory, struct error *error)
{
    char path[STORE_PATH_MAX];
    enum status status = CAIRN_OK;

    memcpy(path, directory, strlen(directory) + 1);
    for (char *cut = path + 1;; cut++) {
        char kept = *cut;

        if (kept != '/' && kept != '\0')
            continue;
        *cut = '\0';
        if (mkdir(path, 0777) == 0)
            status = parent_sync(path, error);
        else if (errno != EEXIST)
            status = error_system(error, errno, "%s: cannot make the directory", path);
        *cut = kept;
        if (kept == '\0' || status != CAIRN_OK)
            return status;
    }
}

/* "DIRECTORY/name" in path; directories are short enough for it (store_open). */
static void file_path(const struct store *store, const char *name, char path[STORE_PATH_MAX + 16])
{
    snprintf(path, STORE_PATH_MAX + 16, "%s/%s", store->directory, name);
}

static enum status lock_take(struct store *store, struct error *error)
{
    char path[STORE_PATH_MAX + 16];

    file_path(store, "lock", path);
    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (store->lock < 0)
        return error_system(error, errno, "%s: cannot open", path);
    if (flock(store->lock, LOCK_EX | LOCK_NB) == 0)
        return CAIRN_OK;
    if (errno == EWOULDBLOCK)
        return error_set(error, CAIRN_EXISTS, "%s: another process has it open", store->directory);
    return error_system(error, errno, "%s: cannot lock", path);
}

/* Gives LMDB's table of readers its blocks: it is mapped, too. */
static enum status readers_allocate(const struct store *store, struct error *error)
{
    char path[STORE_PATH_MAX + 16];
    enum status status = CAIRN_OK;
    int file;

    file_path(store, "lock.mdb", path);
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return error_system(error, errno, "%s: cannot open", path);
    if (fallocate(file, 0, 0, STORE_READERS_BYTES) != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        status = error_system(error, errno, "%s: cannot make the file", path);
    close(file);
    return status;
}

/* Checks the map's file before it is opened; its size, 0: there is none. */
static enum status file_check(const struct store *store, uint64_t *bytes, struct error *error)
{
    char path[STORE_PATH_MAX + 16];
    struct stat facts;
    enum status status = CAIRN_OK;
    int file;

    *bytes = 0;
    file_path(store, "data.mdb", path);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? CAIRN_OK : error_system(error, errno, "%s: cannot open", path);
    if (fstat(file, &facts) != 0)
        status = error_system(error, errno, "%s", path);
    else if (!S_ISREG(facts.st_mode))
        status = error_set(error, CAIRN_CORRUPT, "%s: not a file", path);
    else if (facts.st_size > 0)
        status = pages_check(file, *bytes = (uint64_t)facts.st_size, path, error);
    close(file);
    return status;
}

static uint64_t used_bytes(const struct store *store)
{
    MDB_envinfo facts;

    mdb_env_info(store->environment, &facts);
    return ((uint64_t)facts.me_last_pgno + 1) * store->page_bytes;
}

/* Opens LMDB's environment with a map of this size; its code. */
static int environment_try(struct store *store, uint64_t map_bytes)
{
    int code;

    if ((code = mdb_env_create(&store->environment)) != 0 ||
        (code = mdb_env_set_mapsize(store->environment, map_bytes)) != 0 ||
        (code = mdb_env_set_maxdbs(store->environment, 1 + STORE_TABLES_MAX)) != 0 ||
        (code = mdb_env_set_maxreaders(store->environment, STORE_READERS)) != 0 ||
        (code = mdb_env_open(store->environment, store->directory, STORE_FLAGS | store->flags, 0666)) != 0) {
        mdb_env_close(store->environment);
        store->environment = NULL;
    }
    return code;
}

/* Opens LMDB's environment: with a map that it will not fill, or where that is refused, with as much as was
 * asked for. */
static enum status environment_open(struct store *store, size_t asked_bytes, struct error *error)
{
    uint64_t file_bytes, map_bytes, least_bytes;
    MDB_stat facts;
    enum status status = file_check(store, &file_bytes, error);
    int code;

    if (status == CAIRN_OK)
        status = readers_allocate(store, error);
    if (status != CAIRN_OK)
        return status;
    least_bytes = asked_bytes > STORE_MAP_MIN ? asked_bytes : STORE_MAP_MIN;
    if (least_bytes < 2 * file_bytes)
        least_bytes = 2 * file_bytes;
    least_bytes = (least_bytes + 4095) / 4096 * 4096;
    map_bytes = map_bytes_preferred(store->directory, file_bytes) / 4096 * 4096;
    if (map_bytes < least_bytes)
        map_bytes = least_bytes;
    code = environment_try(store, map_bytes);
    if ((code == ENOMEM || code == EFBIG || code == EINVAL) && map_bytes > least_bytes)
        code = environment_try(store, map_bytes = least_bytes);
    if (code != 0)
        return store_error(store, code, "cannot open the store", error);
    mdb_env_stat(store->environment, &facts);
    store->page_bytes = facts.ms_psize;
    store->file = (struct map_file){.directory = store->directory, .map_bytes = map_bytes};
    mdb_env_get_fd(store->environment, &store->file.descriptor);
    return map_file_begin(&store->file, used_bytes(store), error);
}

/* Opens our database in the environment; an environment that holds anything else is not ours. */
static enum status database_open(struct store *store, struct error *error)
{
    MDB_txn *handle;
    MDB_dbi root;
    MDB_stat facts;
    int code = mdb_txn_begin(store->environment, NULL, 0, &handle);

    if (code != 0)
        return store_error(store, code, "cannot begin", error);
    if ((code = mdb_dbi_open(handle, NULL, 0, &root)) != 0 || (code = mdb_stat(handle, root, &facts)) != 0)
        goto out;
    code = mdb_dbi_open(handle, STORE_DATABASE, facts.ms_entries == 0 ? MDB_CREATE : 0, &store->database);
    if (code == MDB_NOTFOUND || code == MDB_INCOMPATIBLE) {
        mdb_txn_abort(handle);
        return error_set(error, CAIRN_CORRUPT, "%s: not a Cairn store of this version", store->directory);
    }
out:
    if (code != 0) {
        mdb_txn_abort(handle);
        return store_error(store, code, "cannot read the store", error);
    }
    code = mdb_txn_commit(handle);
    return code == 0 ? CAIRN_OK : store_error(store, code, "cannot make the store", error);
}

static enum status file_wipe(const struct store *store, struct error *error)
{
    char path[STORE_PATH_MAX + 16];

    file_path(store, "data.mdb", path);
    return unlink(path) == 0 || errno == ENOENT ? CAIRN_OK
                                                : error_system(error, errno, "%s: cannot remove", path);
}

/* flags: LMDB's, beside the usual ones; MDB_NOSYNC: what is there is removed first. */
static enum status open_with(const char *directory, size_t map_bytes, unsigned flags, struct store **out,
                             struct error *error)
{
    struct store *store;
    size_t length = strlen(directory);
    enum status status;

    if (length == 0 || length >= STORE_PATH_MAX)
        return error_set(error, CAIRN_INVALID, "the path of a store must have 1 to %d bytes",
                         STORE_PATH_MAX - 1);
    store = calloc(1, sizeof(*store));
    if (!store)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", directory);
    store->lock = -1;
    store->flags = flags;
    memcpy(store->directory, directory, length + 1);
    status = directory_make(directory, error);
    if (status == CAIRN_OK)
        status = lock_take(store, error);
    if (status == CAIRN_OK && flags & MDB_NOSYNC)
        status = file_wipe(store, error);
    if (status == CAIRN_OK)
        status = environment_open(store, map_bytes, error);
    if (status == CAIRN_OK)
        status =
            map_file_grow(&store->file, used_bytes(store) + STORE_PAGES_A_COMMIT * store->page_bytes, error);
    if (status == CAIRN_OK)
        status = database_open(store, error);
    if (status == CAIRN_OK)
        status = directory_sync(directory, error);
    if (status != CAIRN_OK) {
        store_close(store);
        return status;
    }
    *out = store;
    return CAIRN_OK;
}

enum status store_open(const char *directory, size_t map_bytes, struct store **out, struct error *error)
{
    return open_with(directory, map_bytes, 0, out, error);
}

enum status store_open_scratch(const char *directory, size_t map_bytes, struct store **out,
                               struct error *error)
{
    return open_with(directory, map_bytes, MDB_NOSYNC | MDB_NOMETASYNC, out, error);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    if (store->environment)
        mdb_env_close(store->environment);
    if (store->lock >= 0)
        close(store->lock);
    free(store);
}

static enum status transaction_begin(struct store *store, unsigned flags, struct store_transaction **out,
                                     struct error *error)
{
    struct store_transaction *transaction = calloc(1, sizeof(*transaction));
    int code;

    if (!transaction)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", store->directory);
    transaction->store = store;
    code = mdb_txn_begin(store->environment, NULL, flags, &transaction->handle);
    if (code != 0) {
        free(transaction);
        return store_error(store, code, "cannot begin a transaction", error);
    }
    ORDER_AFTER(store); /* what ended before is seen, and its pages may be used again */
    *out = transaction;
    return CAIRN_OK;
}

/* Counts the pages that the transaction's writes could copy. */
static enum status pages_count(struct store_transaction *transaction, struct error *error)
{
    struct store *store = transaction->store;
    MDB_stat facts;
    int code = mdb_stat(transaction->handle, store->database, &facts);

    if (code != 0)
        return store_error(store, code, "cannot begin a transaction", error);
    transaction->base_pages = used_bytes(store) / store->page_bytes + STORE_PAGES_A_COMMIT;
    transaction->branch_pages = facts.ms_branch_pages;
    transaction->leaf_pages = facts.ms_leaf_pages;
    return CAIRN_OK;
}

enum status store_begin_write(struct store *store, struct store_transaction **out, struct error *error)
{
    struct store_transaction *transaction = NULL;
    uint64_t needed = used_bytes(store) + STORE_PAGES_A_COMMIT * (uint64_t)store->page_bytes;
    enum status status = map_file_grow(&store->file, needed, error);

    if (status == CAIRN_OK)
        status = transaction_begin(store, 0, &transaction, error);
    if (status == CAIRN_OK)
        status = pages_count(transaction, error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    *out = transaction;
    return CAIRN_OK;
}

enum status store_begin_read(struct store *store, struct store_transaction **out, struct error *error)
{
    return transaction_begin(store, MDB_RDONLY, out, error);
}

enum status store_commit(struct store_transaction *transaction, struct error *error)
{
    struct store *store = transaction->store;
    int code;

    ORDER_BEFORE(store);
    code = mdb_txn_commit(transaction->handle);

    free(transaction);
    return code == 0 ? CAIRN_OK : store_error(store, code, "cannot commit", error);
}

void store_abort(struct store_transaction *transaction)
{
    if (!transaction)
        return;
    ORDER_BEFORE(transaction->store);
    mdb_txn_abort(transaction->handle);
    free(transaction);
}

/* Where in the file a value's place in the map is. A large one stands behind its page's head, which begins
 * with the page's number (pages.c has the layout). */
static uint64_t file_offset(const struct store *store, const unsigned char *place)
{
    uint64_t page;

    memcpy(&page, place - LMDB_PAGE_HEAD, sizeof(page));
    return page * store->page_bytes + LMDB_PAGE_HEAD;
}

static struct store_value value_at(struct store_transaction *transaction, unsigned char *place, size_t bytes)
{
    const struct store *store = transaction->store;

    return (struct store_value){transaction, place, bytes,
                                bytes > store->page_bytes ? file_offset(store, place) : 0};
}

enum status store_get(struct store_transaction *transaction, const void *key, size_t key_bytes,
                      const void **value, size_t *value_bytes, struct error *error)
{
    struct store *store = transaction->store;
    MDB_val name = {key_bytes, (void *)(uintptr_t)key}, found;
    int code = mdb_get(transaction->handle, store->database, &name, &found);

    if (code != 0)
        return store_error(store, code, "cannot read a record", error);
    *value = found.mv_data;
    *value_bytes = found.mv_size;
    return CAIRN_OK;
}

enum status store_value_find(struct store_transaction *transaction, const void *key, size_t key_bytes,
                             struct store_value *value, struct error *error)
{
    const void *place = NULL;
    size_t bytes = 0;
    enum status status = store_get(transaction, key, key_bytes, &place, &bytes, error);

    if (status == CAIRN_OK)
        *value = value_at(transaction, (void *)(uintptr_t)place, bytes);
    return status;
}

void store_value_expect(const struct store_value *value)
{
    if (value->offset)
        map_file_expect(&value->transaction->store->file, value->offset, value->bytes);
}

enum status store_value_read(const struct store_value *value, size_t at, void *data, size_t bytes,
                             struct error *error)
{
    BUG_IF(at > value->bytes || bytes > value->bytes - at);
    if (value->offset)
        return map_file_read(&value->transaction->store->file, value->offset + at, data, bytes, error);
    memcpy(data, value->place + at, bytes);
    return CAIRN_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Blocks for one more write of the transaction. A write copies its way through the tree, but no page is
 * copied twice; what it adds splits pages. A value of more than half a page has pages of its own. */
static enum status write_allocate(struct store_transaction *transaction, size_t key_bytes, size_t value_bytes,
                                  struct error *error)
{
    uint64_t page = transaction->store->page_bytes, tree, pages;
    bool is_large = value_bytes > page / 2;

    transaction->writes++;
    transaction->node_bytes += STORE_NODE_BYTES + key_bytes + (is_large ? 0 : value_bytes);
    transaction->values += is_large ? value_bytes / page + 2 : 0;
    tree = least(STORE_PAGES_A_WRITE * transaction->writes,
                 STORE_PAGES_A_COMMIT + transaction->branch_pages +
                     least(transaction->leaf_pages, STORE_LEAVES_A_WRITE * transaction->writes) +
                     STORE_SPLIT_FILL * transaction->node_bytes / page);
    pages = transaction->base_pages + transaction->values + tree;
    pages += (transaction->values + tree + transaction->freed) / STORE_PAGES_A_LIST;
    return map_file_grow(&transaction->store->file, pages * page, error);
}

enum status store_reserve(struct store_transaction *transaction, const void *key, size_t key_bytes,
                          size_t value_bytes, void **place, struct error *error)
{
    struct store *store = transaction->store;
    MDB_val name = {key_bytes, (void *)(uintptr_t)key}, room = {value_bytes, NULL};
    enum status status = write_allocate(transaction, key_bytes, value_bytes, error);
    int code;

    if (status != CAIRN_OK)
        return status;
    code = mdb_put(transaction->handle, store->database, &name, &room, MDB_RESERVE);
    if (code != 0)
        return store_error(store, code, "cannot write a record", error);
    *place = room.mv_data;
    return CAIRN_OK;
}

enum status store_value_begin(struct store_transaction *transaction, const void *key, size_t key_bytes,
                              size_t value_bytes, struct store_value *value, struct error *error)
{
    void *place = NULL;
    enum status status = store_reserve(transaction, key, key_bytes, value_bytes, &place, error);

    if (status != CAIRN_OK)
        return status;
    *value = value_at(transaction, place, value_bytes);
    return CAIRN_OK;
}

enum status store_value_write(const struct store_value *value, size_t at, const void *data, size_t bytes,
                              struct error *error)
{
    const struct store *store = value->transaction->store;
    size_t seen = bytes < LMDB_PAGE_HEAD ? bytes : LMDB_PAGE_HEAD;
    enum status status;

    BUG_IF(at > value->bytes || bytes > value->bytes - at);
    if (!value->offset) {
        memcpy(value->place + at, data, bytes);
        return CAIRN_OK;
    }
    status = map_file_write(&store->file, value->offset + at, data, bytes, error);
    if (status == CAIRN_OK && at == 0 && memcmp(value->place, data, seen) != 0)
        return error_set(error, CAIRN_IO, "%s: this file system does not show in a map what is written",
                         store->directory);
    return status;
}

void store_value_end(const struct store_value *value)
{
    const struct store *store = value->transaction->store;
    uint64_t first_page = store->page_bytes - LMDB_PAGE_HEAD; /* its head is changed by the commit */

    if (value->offset)
        map_file_send(&store->file, value->offset + first_page, value->bytes - first_page);
}

enum status store_put(struct store_transaction *transaction, const void *key, size_t key_bytes,
                      const void *value, size_t value_bytes, struct error *error)
{
    void *place = NULL;
    enum status status = store_reserve(transaction, key, key_bytes, value_bytes, &place, error);

    if (status == CAIRN_OK && value_bytes > 0)
        memcpy(place, value, value_bytes);
    return status;
}

enum status store_delete(struct store_transaction *transaction, const void *key, size_t key_bytes,
                         struct error *error)
{
    struct store *store = transaction->store;
    MDB_val name = {key_bytes, (void *)(uintptr_t)key};
    enum status status = write_allocate(transaction, key_bytes, 0, error);
    int code;

    if (status != CAIRN_OK)
        return status;
    code = mdb_del(transaction->handle, store->database, &name, NULL);
    return code == 0 ? CAIRN_OK : store_error(store, code, "cannot delete a record", error);
}

static bool has_prefix(const MDB_val *key, const void *prefix, size_t prefix_bytes)
{
    return key->mv_size >= prefix_bytes &&
           (prefix_bytes == 0 || memcmp(key->mv_data, prefix, prefix_bytes) == 0);
}

enum status store_scan(struct store_transaction *transaction, const void *prefix, size_t prefix_bytes,
                       store_visit *visit, void *context, struct error *error)
{
    struct store *store = transaction->store;
    MDB_cursor *cursor;
    MDB_val key = {prefix_bytes, (void *)(uintptr_t)prefix}, value;
    enum status status = CAIRN_OK;
    int code = mdb_cursor_open(transaction->handle, store->database, &cursor);

    if (code != 0)
        return store_error(store, code, "cannot read the store", error);
    code = mdb_cursor_get(cursor, &key, &value, prefix_bytes ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0 && has_prefix(&key, prefix, prefix_bytes) && status == CAIRN_OK) {
        status = visit(context, key.mv_data, key.mv_size, value.mv_data, value.mv_size, error);
        if (status == CAIRN_OK)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (status == CAIRN_OK && code != 0 && code != MDB_NOTFOUND)
        return store_error(store, code, "cannot read the store", error);
    return status;
}

MDB_txn *store_inside_handle(const struct store_transaction *transaction)
{
    return transaction->handle;
}

enum status store_inside_error(const struct store_transaction *transaction, int code, const char *what,
                               struct error *error)
{
    return store_error(transaction->store, code, what, error);
}

void store_inside_count(struct store_transaction *transaction, const MDB_stat *facts)
{
    transaction->branch_pages += facts->ms_branch_pages;
    transaction->leaf_pages += facts->ms_leaf_pages;
}

enum status store_inside_allocate(struct store_transaction *transaction, size_t key_bytes, size_t value_bytes,
                                  uint64_t pages, struct error *error)
{
    transaction->freed += pages;
    return write_allocate(transaction, key_bytes, value_bytes, error);
}
