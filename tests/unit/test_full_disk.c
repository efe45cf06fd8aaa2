/* A disk that fills while a job trains: the write fails with one line that says what to do, the generation
 * before stays whole, and when there is room the job goes on from it to the same bits. On a small disk of the
 * test's own; where none may be mounted the test is skipped. */
#include "check_main.h"
#include "shard_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Gives the rig a job whose generations take 5 MB, far more than what stores keep in reserve. */
static void use_larger_job(struct rig *rig)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "name: fixture\nseed: 5\nmodel:\n  input_shape: [600]\n  layers:\n    - dense: {units: 700}\n"
             "  loss: sparse_categorical_crossentropy\n  metrics: [accuracy]\n"
             "data:\n  train: {format: csv, path: train.csv}\n"
             "train: {steps: 100, batch_size: %d, microbatches: %d, optimizer: {%s}, commit_every: 1}\n",
             RIG_BATCH, RIG_MICROBATCHES, RIG_ADAM);
    assignment_unref(rig->assignment);
    rig->assignment = rig_assignment(text, "fixture-7");
    rig->job = rig->assignment->job;
}

/* Mounts a small disk over the rig's directory, which is empty yet; false where that may not be. */
static bool disk_mount(const char *directory)
{
    return (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", directory, "tmpfs", 0, "size=48m") == 0;
}

/* In a process of its own, which takes the disk along. */
static bool disk_may_be_mounted(void)
{
    char directory[] = "/tmp/cairn-disk-XXXXXX";
    int state = 1;
    pid_t child;

    if (!mkdtemp(directory))
        return false;
    child = fork();
    if (child == 0)
        _exit(disk_mount(directory) ? 0 : 1);
    if (child > 0 && waitpid(child, &state, 0) != child)
        state = 1;
    (void)rmdir(directory);
    return state == 0;
}

/* Takes all the room that is left; returns the file's descriptor. */
static int disk_fill(const char *directory)
{
    static char bytes[65536];
    char path[100];
    size_t piece = sizeof(bytes);
    int file;

    snprintf(path, sizeof(path), "%s/filler", directory);
    file = open(path, O_WRONLY | O_CREAT, 0666);
    ck_assert_int_ge(file, 0);
    while (piece > 0) {
        if (write(file, bytes, piece) < 0) {
            ck_assert_int_eq(errno, ENOSPC);
            piece /= 16;
        }
    }
    return file;
}

/* The writer does what it was given, whatever comes of it. Returns how many writes failed, all for want of
 * room. */
static uint32_t write_what_can_be(struct rig *rig)
{
    size_t count = rig->pending_count;
    uint32_t failures = 0;

    for (size_t i = 0; i < count; i++) {
        struct rig_pending pending = rig->pending[i];
        struct error error = {.message = ""};
        enum status status = generation_write(pending.generation, &error);

        ck_assert(status == CAIRN_OK || status == CAIRN_FULL);
        failures += status != CAIRN_OK;
        shard_written(rig->shards[pending.shard], pending.generation, status, &error);
    }
    rig->pending_count -= count;
    memmove(rig->pending, rig->pending + count, rig->pending_count * sizeof(rig->pending[0]));
    return failures;
}

/* All reports there are; of the failures each must say what is full and what to do. */
static uint32_t count_failures(struct rig *rig)
{
    uint32_t failures = 0;

    for (size_t i = 0; i < rig->report_count; i++) {
        if (rig->reports[i].kind != SHARD_FAILED)
            continue;
        failures++;
        ck_assert_msg(strstr(rig->reports[i].message, "the disk is full") != NULL, "%s",
                      rig->reports[i].message);
        ck_assert_ptr_nonnull(strstr(rig->reports[i].message, "make room"));
        ck_assert_ptr_nonnull(strstr(rig->reports[i].message, rig->directory));
        ck_assert_ptr_null(strchr(rig->reports[i].message, '\n'));
    }
    rig->report_count = 0;
    return failures;
}

START_TEST(a_job_outlives_a_full_disk)
{
    struct rig *rig = rig_new(RIG_ADAM, 1);
    struct reference *reference;
    uint64_t step = 0, committed = 0;
    uint32_t failures = 0;
    int filler;

    ck_assert(disk_mount(rig->directory));
    use_larger_job(rig);
    reference = reference_new(rig->job);
    rig_prepare(rig, 1, 0);
    rig_step(rig, 1, step++);
    rig_commit(rig, 1, committed = 1);
    filler = disk_fill(rig->directory);
    while (failures == 0) { /* the files' own reserve is used first */
        ck_assert_uint_lt(step, 6);
        rig_step(rig, 1, step++);
        write_what_can_be(rig);
        failures = count_failures(rig);
        for (uint32_t i = 0; i < RIG_SHARDS && failures == 0; i++)
            shard_committed(rig->shards[i], RIG_JOB, 1, committed = step);
        if (failures == 0)
            rig_forget_replies(rig);
    }
    rig_stop_shards(rig); /* the operator stops it, makes room, and resumes */
    ck_assert_int_eq(ftruncate(filler, 0), 0);
    close(filler);
    rig_start_shards(rig);
    rig_prepare(rig, 2, committed);
    while (reference->version < committed)
        reference_step(reference);
    rig_assert_weights(rig, 2, reference);
    for (int i = 0; i < 3; i++) {
        rig_step(rig, 2, reference->version);
        reference_step(reference);
        rig_commit(rig, 2, reference->version);
    }
    rig_assert_weights(rig, 2, reference);
    reference_free(reference);
    rig_stop_shards(rig);
    ck_assert_int_eq(umount(rig->directory), 0);
    rig_free(rig);
}
END_TEST

/* A job that cannot even begin says so, and begins when there is room. */
START_TEST(a_job_waits_for_room_to_begin)
{
    struct rig *rig = rig_new(RIG_SGD, 1);
    int filler;

    ck_assert(disk_mount(rig->directory));
    filler = disk_fill(rig->directory);
    shard_prepare(rig->shards[0], rig->assignment, 1, 0);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "No space left on device"));
    ck_assert_int_eq(ftruncate(filler, 0), 0);
    close(filler);
    rig_prepare(rig, 2, 0);
    rig_step(rig, 2, 0);
    rig_commit(rig, 2, 1);
    rig_stop_shards(rig);
    ck_assert_int_eq(umount(rig->directory), 0);
    rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("full_disk");
    TCase *tests = tcase_create("full_disk");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_job_outlives_a_full_disk);
    tcase_add_test(tests, a_job_waits_for_room_to_begin);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN_IF(disk_may_be_mounted, make_suite)
