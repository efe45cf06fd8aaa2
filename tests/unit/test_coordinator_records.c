/* The coordinator's records: what is stored comes back, logs stay bounded, what is not ours is refused. */
#include "check_main.h"
#include "folder.h"
#include "jobs.h"
#include "records.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[FOLDER_BYTES];
static struct records *records;
static struct effects effects;
static struct error error;

static void set_up(void)
{
    folder_make(directory);
    effects_init(&effects);
    ck_assert_int_eq(records_open(directory, &records, &error), CAIRN_OK);
}

static void tear_down(void)
{
    records_close(records);
    effects_fini(&effects);
    folder_remove(directory);
}

static void reopen(void)
{
    records_close(records);
    records = NULL;
    ck_assert_int_eq(records_open(directory, &records, &error), CAIRN_OK);
}

static void add_record(uint64_t number, uint32_t format)
{
    Cairn__JobRecord record = CAIRN__JOB_RECORD__INIT;
    Cairn__JobStatus status = CAIRN__JOB_STATUS__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;

    status.number = number;
    status.name = "job";
    text.text = "name: job";
    record.format = format;
    record.status = &status;
    record.text = &text;
    effects_record(&effects, &record);
}

static void add_entries(uint64_t job, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        Cairn__LogEntry entry = CAIRN__LOG_ENTRY__INIT;

        entry.number = number;
        entry.text = "a line";
        effects_entry(&effects, job, &entry);
    }
}

static void store(void)
{
    ck_assert_int_eq(records_store(records, &effects, &error), CAIRN_OK);
    effects_clear(&effects);
}

struct seen {
    size_t count;
    uint64_t numbers[8], newest[8];
};

static enum status see(void *context, const Cairn__JobRecord *record, uint64_t newest_entry,
                       struct error *problem)
{
    struct seen *seen = context;

    (void)problem;
    seen->numbers[seen->count] = record->status->number;
    seen->newest[seen->count++] = newest_entry;
    return seen->count == 8 ? CAIRN_CLOSED : CAIRN_OK;
}

START_TEST(records_come_back_in_order)
{
    struct seen seen = {0};

    add_record(10, RECORD_FORMAT);
    add_record(9, RECORD_FORMAT);
    add_entries(9, 1, 3);
    add_record(100, RECORD_FORMAT);
    add_record(9, RECORD_FORMAT); /* the newer one counts */
    store();
    reopen();
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_OK);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_uint_eq(seen.numbers[0], 9);
    ck_assert_uint_eq(seen.newest[0], 3);
    ck_assert_uint_eq(seen.numbers[1], 10);
    ck_assert_uint_eq(seen.newest[1], 0);
    ck_assert_uint_eq(seen.numbers[2], 100);
}
END_TEST

START_TEST(visitor_may_end_the_loading)
{
    struct seen seen = {.count = 7};

    add_record(1, RECORD_FORMAT);
    add_record(2, RECORD_FORMAT);
    store();
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_CLOSED);
}
END_TEST

static void check_log(uint64_t after, uint64_t first, size_t count)
{
    Cairn__LogsReply *reply = NULL;

    ck_assert_int_eq(records_read_log(records, 1, after, &reply, &error), CAIRN_OK);
    ck_assert_uint_eq(reply->n_entries, count);
    for (size_t i = 0; i < count; i++) {
        if (reply->entries[i]->number != first + i)
            ck_abort_msg("entry %zu has another number", i);
    }
    cairn__logs_reply__free_unpacked(reply, NULL);
}

static enum status count_key(void *context, const void *key, size_t key_bytes, const void *value,
                             size_t value_bytes, struct error *problem)
{
    (void)key, (void)key_bytes, (void)value, (void)value_bytes, (void)problem;
    ++*(size_t *)context;
    return CAIRN_OK;
}

/* All keys of the store, which is opened by itself for that. */
static size_t count_keys(void)
{
    struct store_transaction *transaction = NULL;
    struct store *opened = NULL;
    size_t count = 0;

    records_close(records);
    records = NULL;
    ck_assert_int_eq(store_open(directory, 1 << 24, &opened, &error), CAIRN_OK);
    ck_assert_int_eq(store_begin_read(opened, &transaction, &error), CAIRN_OK);
    ck_assert_int_eq(store_scan(transaction, NULL, 0, count_key, &count, &error), CAIRN_OK);
    store_abort(transaction);
    store_close(opened);
    ck_assert_int_eq(records_open(directory, &records, &error), CAIRN_OK);
    return count;
}

START_TEST(log_is_read_from_anywhere)
{
    check_log(0, 0, 0);
    add_entries(1, 1, 5);
    add_entries(2, 1, 2);
    store();
    check_log(0, 1, 5);
    check_log(3, 4, 2);
    check_log(5, 0, 0);
    check_log(UINT64_MAX, 0, 0);
}
END_TEST

START_TEST(log_is_bounded)
{
    add_entries(1, 1, JOB_ENTRIES_MAX + 20);
    store();
    check_log(0, 21, JOB_ENTRIES_MAX);
    check_log(JOB_ENTRIES_MAX, JOB_ENTRIES_MAX + 1, 20);
}
END_TEST

START_TEST(older_formats_are_read)
{
    struct seen seen = {0};

    add_record(1, 1);
    store();
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_OK);
    ck_assert_uint_eq(seen.count, 1);
}
END_TEST

START_TEST(who_is_to_end_is_kept)
{
    Cairn__DrainingNodes stored = CAIRN__DRAINING_NODES__INIT, *loaded;
    Cairn__Registration node = CAIRN__REGISTRATION__INIT, *nodes[] = {&node};

    ck_assert_int_eq(records_load_draining(records, &loaded, &error), CAIRN_OK);
    ck_assert_ptr_null(loaded);
    node.name = "w1";
    stored.nodes = nodes;
    for (size_t count = 2; count-- > 0;) {
        stored.n_nodes = count;
        effects_draining(&effects, &stored);
        store();
        ck_assert_int_eq(records_load_draining(records, &loaded, &error), CAIRN_OK);
        ck_assert_ptr_nonnull(loaded);
        ck_assert_uint_eq(loaded->n_nodes, count);
        if (count > 0)
            ck_assert_str_eq(loaded->nodes[0]->name, "w1");
        cairn__draining_nodes__free_unpacked(loaded, NULL);
    }
}
END_TEST

/* As the coordinator does it: the job goes with all that there is of it, and what is left is told, at once.
 */
START_TEST(a_deleted_job_leaves_nothing_but_who_has_files)
{
    Cairn__DeletedJobs stored = CAIRN__DELETED_JOBS__INIT, *loaded;
    Cairn__DeletedJob job = CAIRN__DELETED_JOB__INIT, *jobs[] = {&job};
    Cairn__LogsReply *reply = NULL;
    char *servers[] = {"s1"};
    struct seen seen = {0};

    ck_assert_int_eq(records_load_deleted(records, &loaded, &error), CAIRN_OK);
    ck_assert_ptr_null(loaded);
    for (uint64_t number = 1; number <= 3; number++) {
        add_record(number, RECORD_FORMAT);
        add_entries(number, 1, number == 2 ? JOB_ENTRIES_MAX + 20 : 5);
    }
    store();
    add_record(2, RECORD_FORMAT); /* what came before in the same batch does not stay either */
    add_entries(2, JOB_ENTRIES_MAX + 21, JOB_ENTRIES_MAX + 22);
    job.number = stored.newest_number = 2;
    job.servers = servers;
    job.n_servers = stored.n_jobs = 1;
    stored.jobs = jobs;
    effects_deleted(&effects, &stored);
    effects_erase(&effects, 2);
    effects_erase(&effects, 9); /* never was */
    store();
    reopen();
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_OK);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.numbers[0], 1);
    ck_assert_uint_eq(seen.numbers[1], 3);
    ck_assert_uint_eq(seen.newest[1], 5);
    check_log(0, 1, 5);
    ck_assert_int_eq(records_read_log(records, 2, 0, &reply, &error), CAIRN_OK);
    ck_assert_uint_eq(reply->n_entries, 0);
    cairn__logs_reply__free_unpacked(reply, NULL);
    ck_assert_uint_eq(count_keys(), 2 * (1 + 5 + 1) + 1); /* two jobs, and who has files */
    ck_assert_int_eq(records_load_deleted(records, &loaded, &error), CAIRN_OK);
    ck_assert_ptr_nonnull(loaded);
    ck_assert_uint_eq(loaded->newest_number, 2);
    ck_assert_str_eq(loaded->jobs[0]->servers[0], "s1");
    cairn__deleted_jobs__free_unpacked(loaded, NULL);
}
END_TEST

START_TEST(other_formats_are_refused)
{
    struct seen seen = {0};

    add_record(1, RECORD_FORMAT + 1);
    store();
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "format 3; this coordinator knows 2"));
    ck_assert_uint_eq(seen.count, 0);
}
END_TEST

static void spoil(const char *key, const void *value, size_t bytes)
{
    struct store_transaction *transaction = NULL;
    struct store *opened = NULL;

    records_close(records);
    records = NULL;
    ck_assert_int_eq(store_open(directory, 1 << 24, &opened, &error), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(opened, &transaction, &error), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, strlen(key), value, bytes, &error), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, &error), CAIRN_OK);
    store_close(opened);
    ck_assert_int_eq(records_open(directory, &records, &error), CAIRN_OK);
}

START_TEST(damaged_records_are_refused)
{
    struct seen seen = {0};

    add_record(1, RECORD_FORMAT);
    store();
    spoil("job/00000000000000000001", "\xff\xff", 2);
    ck_assert_int_eq(records_load(records, see, &seen, &error), CAIRN_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "job/00000000000000000001 is damaged"));
}
END_TEST

START_TEST(damaged_lists_are_refused)
{
    Cairn__DrainingNodes *draining;
    Cairn__DeletedJobs *deleted;

    spoil("draining", "\xff\xff", 2);
    ck_assert_int_eq(records_load_draining(records, &draining, &error), CAIRN_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "draining is damaged"));
    spoil("deleted", "\xff\xff", 2);
    ck_assert_int_eq(records_load_deleted(records, &deleted, &error), CAIRN_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "deleted is damaged"));
}
END_TEST

START_TEST(damaged_logs_are_refused)
{
    Cairn__LogsReply *reply = NULL;

    add_entries(1, 1, 2);
    store();
    spoil("log/00000000000000000001/00000000000000000002", "\xff\xff", 2);
    ck_assert_int_eq(records_read_log(records, 1, 0, &reply, &error), CAIRN_CORRUPT);
    spoil("newest/00000000000000000001", "x", 1);
    ck_assert_int_eq(records_read_log(records, 1, 0, &reply, &error), CAIRN_CORRUPT);
}
END_TEST

START_TEST(second_coordinator_is_refused)
{
    struct records *second = NULL;

    ck_assert_int_eq(records_open(directory, &second, &error), CAIRN_EXISTS);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {records_come_back_in_order,
                                  visitor_may_end_the_loading,
                                  log_is_read_from_anywhere,
                                  log_is_bounded,
                                  older_formats_are_read,
                                  who_is_to_end_is_kept,
                                  other_formats_are_refused,
                                  damaged_records_are_refused,
                                  damaged_logs_are_refused,
                                  second_coordinator_is_refused,
                                  a_deleted_job_leaves_nothing_but_who_has_files,
                                  damaged_lists_are_refused};
    Suite *suite = suite_create("coordinator_records");
    TCase *group = tcase_create("records");

    tcase_add_checked_fixture(group, set_up, tear_down);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(group, tests[i]);
    suite_add_tcase(suite, group);
    return suite;
}

CHECK_MAIN(make_suite)
