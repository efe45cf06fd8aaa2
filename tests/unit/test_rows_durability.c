/* Chaos: a process with a sparse table that is many times larger than its memory is killed at random moments,
 * again and again, while rows are trained, swapped and written beside. Each time what is on disk, taken back
 * to the job's committed step, must be that version to the bit, and go on to the same versions as an
 * undisturbed run: rows of two steps, or optimizer slots of another step than their weights, cannot pass.
 *
 *     test_rows_durability [--kills N] [--seed S]
 *
 * prints the seed; the same seed takes the same decisions (moments still depend on the machine). A life is a
 * child process of two shards; the committed step is recorded on a page that outlives it. */
#include "check_main.h"
#include "kill_main.h"
#include "rows_disk_rig.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define STEPS        150 /* of a job, which then begins anew */
#define EVERY        3   /* steps a commit */
#define LITTLE_BYTES 1   /* of memory: the least that there is, 1024 rows a table */
#define LONGEST_MS   120 /* of a life that is killed */
#define LAST_STEPS   12  /* of the one that is not */

static struct {
    int kills; /* of each table */
    uint64_t seed;
} options = {25, 0};

static const char *const tables[] = {"optimizer: {adam: {learning_rate: 0.01}}",
                                     "optimizer: adagrad, admit_after: 2, expire_after: 4"};
#define TABLES ((int)(sizeof(tables) / sizeof(tables[0])))

/* What the processes share. */
struct board {
    _Atomic uint64_t committed; /* the job's committed step */
    _Atomic uint64_t goal;      /* a life that has committed it ends by itself */
};

/* ---- a life */

/* Writes a shard's generation beside the shard. */
static void *write_generation(void *context)
{
    struct error error;

    return generation_write(context, &error) == CAIRN_OK ? NULL : context;
}

/* Makes step `step` the job's while the next one goes on. */
static void commit(struct disk_rig *rig, struct board *board, uint64_t step)
{
    pthread_t writers[DISK_SHARDS];

    disk_work(rig);
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        MUST(rig->pending[i]);
        MUST(pthread_create(&writers[i], NULL, write_generation, rig->pending[i]) == 0);
    }
    disk_step(rig, step);
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        struct generation *generation = rig->pending[i];
        void *failed;

        MUST(pthread_join(writers[i], &failed) == 0 && !failed);
        rig->pending[i] = NULL;
        shard_written(rig->shards[i], generation, CAIRN_OK, NULL);
        MUST(rig->committed[i] == step);
    }
    atomic_store(&board->committed, step);
    for (uint32_t i = 0; i < DISK_SHARDS; i++)
        shard_committed(rig->shards[i], DISK_JOB, rig->incarnation, step);
}

/* Goes on from the committed step until somebody ends it. */
static void live(struct disk_rig *rig, struct board *board, const uint64_t digests[])
{
    uint64_t step = atomic_load(&board->committed), goal = atomic_load(&board->goal);

    disk_start(rig);
    disk_prepare(rig, step);
    MUST(disk_digest(rig, step) == digests[step]);
    while (step < goal) {
        while (++step % EVERY)
            disk_step(rig, step - 1);
        disk_step(rig, step - 1);
        commit(rig, board, step);
        step++; /* commit has made it */
        MUST(disk_digest(rig, step) == digests[step]);
    }
    disk_stop(rig);
}

/* ---- the one that kills */

/* Kills a life after `ms`, UINT32_MAX: lets it be; whether it ended by itself before. */
static bool kill_after(pid_t child, uint32_t ms)
{
    const struct timespec moment = {ms / 1000, ms % 1000 * 1000000L};
    int result;

    if (ms < UINT32_MAX) {
        ck_assert(nanosleep(&moment, NULL) == 0 || errno == EINTR);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
    }
    ck_assert_int_eq(waitpid(child, &result, 0), child);
    ck_assert_msg(WIFSIGNALED(result) ? WTERMSIG(result) == SIGKILL : WEXITSTATUS(result) == 0,
                  "a life ended by itself: %d", result);
    return !WIFSIGNALED(result);
}

static bool life(struct disk_rig *rig, struct board *board, const uint64_t digests[], uint32_t ms)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        live(rig, board, digests);
        _exit(0);
    }
    rig->incarnation++; /* as the child did */
    return kill_after(child, ms);
}

START_TEST(no_committed_generation_of_rows_is_lost)
{
    static uint64_t digests[STEPS + EVERY + 2];
    struct disk_rig *rig = disk_rig_make((struct disk_setup){tables[_i], EVERY, LITTLE_BYTES});
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct chance chance = {options.seed};
    int progress = 0;

    ck_assert_ptr_ne(board, MAP_FAILED);
    disk_history(tables[_i], STEPS + EVERY + 1, digests);
    for (int i = 0; i < options.kills; i++) {
        uint64_t before = atomic_load(&board->committed);

        atomic_store(&board->goal, STEPS);
        if (life(rig, board, digests, 1 + draw(&chance, LONGEST_MS)) || before >= STEPS)
            atomic_store(&board->committed, 0); /* the job is over: the next one begins anew */
        progress += atomic_load(&board->committed) > before;
    }
    if (atomic_load(&board->committed) > STEPS - LAST_STEPS)
        atomic_store(&board->committed, 0);
    atomic_store(&board->goal, atomic_load(&board->committed) + LAST_STEPS);
    ck_assert(life(rig, board, digests, UINT32_MAX));
    printf("%s: %d kills, %d after a commit; step %" PRIu64 "\n", tables[_i], options.kills, progress,
           atomic_load(&board->committed));
    munmap(board, sizeof(*board));
    disk_rig_free(rig);
}
END_TEST

/* ---- the program */

int main(int count, char **arguments)
{
    struct kill_program program = {"rows_durability",
                                   no_committed_generation_of_rows_is_lost,
                                   TABLES,
                                   "half of them of each table",
                                   90,
                                   2.0,
                                   &options.kills,
                                   &options.seed};

    return kill_main(count, arguments, &program);
}
