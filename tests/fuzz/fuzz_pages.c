/* The check of a store's pages. The input is a list of changes to a good store's file, six bytes each: the
 * page, the place in it, which bits to turn, and whether the place is in the page's head, where most of the
 * format is. Beyond not crashing: a refusal is one line, and what passes LMDB can walk and change (its
 * assertions abort). */
#include "fuzz.h"
#include "store/pages.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP_BYTES  ((size_t)4 << 20)
#define RECORDS    400u
#define PAGE_BYTES 4096u

static int file = -1;
static unsigned char *good; /* the file's bytes */
static size_t good_bytes;

static MDB_env *environment_open(void)
{
    char path[64];
    MDB_env *environment;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    REQUIRE(mdb_env_create(&environment) == 0);
    REQUIRE(mdb_env_set_mapsize(environment, MAP_BYTES) == 0 && mdb_env_set_maxdbs(environment, 3) == 0);
    if (mdb_env_open(environment, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_WRITEMAP | MDB_NOSYNC, 0600) == 0)
        return environment;
    mdb_env_close(environment);
    return NULL;
}

/* Writes each `step`th record; every 30th is large. */
static int records_put(MDB_txn *transaction, MDB_dbi database, uint64_t step)
{
    static unsigned char bytes[3 * PAGE_BYTES];
    int code = 0;

    for (uint64_t number = 0; number < RECORDS && code == 0; number += step) {
        MDB_val key = {sizeof(number), &number}, value = {number % 30 == 0 ? sizeof(bytes) : 60, bytes};

        code = mdb_put(transaction, database, &key, &value, 0);
    }
    return code;
}

static void store_make(void)
{
    static const char *const names[] = {"cairn.1", "rows"};
    MDB_env *environment;

    file = memfd_create("store", 0);
    REQUIRE(file >= 0);
    environment = environment_open();
    REQUIRE(environment);
    for (uint64_t step = 1; step <= 3; step++) {
        MDB_txn *transaction;

        REQUIRE(mdb_txn_begin(environment, NULL, 0, &transaction) == 0);
        for (unsigned i = 0; i < 2; i++) {
            MDB_dbi database;

            REQUIRE(mdb_dbi_open(transaction, names[i], MDB_CREATE | (i ? MDB_INTEGERKEY : 0), &database) ==
                    0);
            REQUIRE(records_put(transaction, database, step) == 0);
        }
        REQUIRE(mdb_txn_commit(transaction) == 0);
    }
    mdb_env_close(environment);
}

static void good_read(void)
{
    uint64_t last[2];

    REQUIRE(pread(file, &last[0], 8, 136) == 8 && pread(file, &last[1], 8, PAGE_BYTES + 136) == 8);
    good_bytes = ((last[0] > last[1] ? last[0] : last[1]) + 1) * PAGE_BYTES;
    good = malloc(good_bytes);
    REQUIRE(good && pread(file, good, good_bytes, 0) == (ssize_t)good_bytes);
}

/* Walks one database and changes it, all in a transaction that is then thrown away. */
static void database_use(MDB_env *environment, const char *name)
{
    MDB_txn *transaction;
    MDB_dbi database;
    MDB_cursor *cursor;
    MDB_val key, value;
    unsigned sum = 0;

    if (mdb_txn_begin(environment, NULL, 0, &transaction) != 0)
        return;
    if (mdb_dbi_open(transaction, name, 0, &database) == 0 &&
        mdb_cursor_open(transaction, database, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            for (size_t i = 0; i < value.mv_size; i++)
                sum += ((const unsigned char *)value.mv_data)[i];
        }
        mdb_cursor_close(cursor);
        (void)records_put(transaction, database, 1 + sum % 2);
    }
    mdb_txn_abort(transaction);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    MDB_env *environment;

    if (!good) {
        store_make();
        good_read();
    }
    REQUIRE(ftruncate(file, (off_t)good_bytes) == 0 &&
            pwrite(file, good, good_bytes, 0) == (ssize_t)good_bytes);
    for (; size >= 6; data += 6, size -= 6) {
        size_t page = (data[0] | (size_t)data[1] << 8) % (good_bytes / PAGE_BYTES);
        size_t place = (data[2] | (size_t)data[3] << 8) % (data[5] & 1 ? PAGE_BYTES : 64);
        size_t at = page * PAGE_BYTES + place;
        unsigned char changed = good[at] ^ data[4];

        REQUIRE(pwrite(file, &changed, 1, (off_t)at) == 1);
    }
    if (pages_check(file, good_bytes, "the store", &error) != CAIRN_OK) {
        REQUIRE(error.message[0] != '\0' && strchr(error.message, '\n') == NULL);
        return 0;
    }
    environment = environment_open();
    REQUIRE(environment);
    database_use(environment, "cairn.1");
    database_use(environment, "rows");
    mdb_env_close(environment);
    return 0;
}
