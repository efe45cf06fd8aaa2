/* Forked processes around one shared page. */
#include "crew.h"

#include "base/clock.h"
#include "net/daemon.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY_BYTES 64

/* What the processes share. */
struct board {
    char endpoints[CREW_SERVERS_MAX][CREW_ENDPOINT_BYTES];
    sem_t done;                 /* posted by each process that has done what it was to do */
    sem_t go[CREW_CLIENTS_MAX]; /* posted to each client */
    uint32_t steps;             /* of the run in hand */
    struct crew_times times[CREW_CLIENTS_MAX];
    struct error failure; /* of whoever failed; status CAIRN_OK: nobody */
};

struct crew {
    struct crew_params params;
    char directory[DIRECTORY_BYTES];
    struct board *board;
    pid_t processes[CREW_SERVERS_MAX + CREW_CLIENTS_MAX]; /* servers first; 0: not started, or reaped */
};

/* ---- in the forked processes */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void wait_semaphore(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0 && errno == EINTR)
        ;
}

/* One run of a client, by the board. */
static enum status client_run(const struct crew_place *place, void *client, uint64_t *times_ns,
                              struct error *error)
{
    struct board *board = place->crew->board;
    struct crew_times *times = &board->times[place->index];
    uint64_t begin = clock_ns();
    enum status status = place->crew->params.roles->run(client, board->steps, times_ns, error);

    times->seconds = (double)(clock_ns() - begin) * 1e-9;
    if (status != CAIRN_OK)
        return status;
    qsort(times_ns, board->steps, sizeof(*times_ns), compare);
    times->step_seconds = (double)times_ns[board->steps / 2] * 1e-9;
    return CAIRN_OK;
}

static enum status client_live(const struct crew_place *place, struct error *error)
{
    struct board *board = place->crew->board;
    uint64_t *times_ns = malloc(CREW_STEPS_MAX * sizeof(*times_ns));
    void *client = NULL;
    enum status status = CAIRN_OK;

    if (!times_ns)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = place->crew->params.roles->connect(place, &client, error);
    while (status == CAIRN_OK) {
        sem_post(&board->done);
        wait_semaphore(&board->go[place->index]);
        status = client_run(place, client, times_ns, error);
    }
    free(times_ns);
    return status;
}

/* A process's whole life; it ends only by a failure or a signal. */
static void process_live(const struct crew_place *place, bool is_server)
{
    struct error error = {.message = ""};
    enum status status;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    daemon_keep_memory();
    status = is_server ? place->crew->params.roles->serve(place, &error) : client_live(place, &error);
    error_set(&place->crew->board->failure, status != CAIRN_OK ? status : CAIRN_IO, "%s %u: %s",
              is_server ? "server" : "client", place->index, error.message);
    sem_post(&place->crew->board->done);
    _exit(EXIT_FAILURE);
}

void crew_serving(const struct crew_place *place, const char *endpoint)
{
    struct board *board = place->crew->board;

    snprintf(board->endpoints[place->index], CREW_ENDPOINT_BYTES, "%s", endpoint);
    sem_post(&board->done);
}

void crew_listen(const struct crew_place *place, char endpoint[CREW_ENDPOINT_BYTES])
{
    if (strcmp(place->transport, "ipc") == 0)
        snprintf(endpoint, CREW_ENDPOINT_BYTES, "ipc://%s/server-%u", place->directory, place->index);
    else
        snprintf(endpoint, CREW_ENDPOINT_BYTES, "tcp://127.0.0.1:0");
}

/* ---- in the parent */

/* Whether any process has ended, which none should. */
static bool has_loss(struct crew *crew)
{
    for (size_t i = 0; i < sizeof(crew->processes) / sizeof(crew->processes[0]); i++) {
        if (crew->processes[i] > 0 && waitpid(crew->processes[i], NULL, WNOHANG) != 0) {
            crew->processes[i] = 0;
            return true;
        }
    }
    return false;
}

/* Waits until so many processes have done what they were to do. */
static enum status crew_await(struct crew *crew, uint32_t count, struct error *error)
{
    for (uint32_t done = 0; done < count;) {
        struct timespec deadline;

        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += 1;
        if (sem_timedwait(&crew->board->done, &deadline) == 0)
            done++;
        else if (errno == ETIMEDOUT && has_loss(crew) && crew->board->failure.status == CAIRN_OK)
            return error_set(error, CAIRN_IO, "a process of the benchmark died");
        if (crew->board->failure.status != CAIRN_OK) {
            *error = crew->board->failure;
            return error->status;
        }
    }
    return CAIRN_OK;
}

static enum status process_start(struct crew *crew, uint32_t slot, struct error *error)
{
    bool is_server = slot < crew->params.server_count;
    uint32_t index = is_server ? slot : slot - crew->params.server_count;
    const struct crew_place place = {.crew = crew,
                                     .transport = crew->params.transport,
                                     .directory = crew->directory,
                                     .index = index,
                                     .server_count = crew->params.server_count,
                                     .client_count = crew->params.client_count,
                                     .endpoints = crew->board->endpoints,
                                     .argument = crew->params.argument};
    pid_t process;

    fflush(NULL);
    process = fork();
    if (process < 0)
        return error_system(error, errno, "cannot fork");
    if (process == 0)
        process_live(&place, is_server);
    crew->processes[slot] = process;
    return CAIRN_OK;
}

static enum status board_init(struct crew *crew, struct error *error)
{
    const char *parent = getenv("TMPDIR");
    void *shared =
        mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return error_system(error, errno, "cannot share memory");
    crew->board = shared;
    if (sem_init(&crew->board->done, 1, 0) != 0)
        return error_system(error, errno, "cannot make a semaphore");
    for (int i = 0; i < CREW_CLIENTS_MAX; i++) {
        if (sem_init(&crew->board->go[i], 1, 0) != 0)
            return error_system(error, errno, "cannot make a semaphore");
    }
    if (!parent || strlen(parent) > DIRECTORY_BYTES / 2) /* a socket's path must fit below it */
        parent = "/tmp";
    snprintf(crew->directory, sizeof(crew->directory), "%s/cairn-bench-XXXXXX", parent);
    if (!mkdtemp(crew->directory)) {
        crew->directory[0] = '\0';
        return error_system(error, errno, "cannot make a directory");
    }
    return CAIRN_OK;
}

enum status crew_start(const struct crew_params *params, struct crew **out, struct error *error)
{
    struct crew *crew;
    uint32_t servers = params->server_count, clients = params->client_count;
    enum status status;

    if (servers > CREW_SERVERS_MAX || clients < 1 || clients > CREW_CLIENTS_MAX)
        return error_set(error, CAIRN_INVALID, "%u servers and %u clients are not allowed", servers, clients);
    crew = calloc(1, sizeof(*crew));
    if (!crew)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    crew->params = *params;
    status = board_init(crew, error);
    for (uint32_t i = 0; i < servers && status == CAIRN_OK; i++)
        status = process_start(crew, i, error);
    if (status == CAIRN_OK)
        status = crew_await(crew, servers, error);
    for (uint32_t i = 0; i < clients && status == CAIRN_OK; i++)
        status = process_start(crew, servers + i, error);
    if (status == CAIRN_OK)
        status = crew_await(crew, clients, error);
    if (status != CAIRN_OK) {
        crew_free(crew);
        return status;
    }
    *out = crew;
    return CAIRN_OK;
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts, (void)type, (void)walk;
    return remove(path);
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    for (size_t i = 0; i < sizeof(crew->processes) / sizeof(crew->processes[0]); i++) {
        if (crew->processes[i] <= 0)
            continue;
        kill(crew->processes[i], SIGKILL);
        waitpid(crew->processes[i], NULL, 0);
    }
    if (crew->directory[0] && nftw(crew->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "cannot remove %s\n", crew->directory);
    if (crew->board)
        munmap(crew->board, sizeof(*crew->board));
    free(crew);
}

/* Processor time that `count` processes from `first` on have taken. */
static double cpu_seconds(const struct crew *crew, uint32_t first, uint32_t count)
{
    double seconds = 0;

    for (uint32_t i = first; i < first + count; i++) {
        struct timespec time;
        clockid_t clock;

        if (clock_getcpuclockid(crew->processes[i], &clock) == 0 && clock_gettime(clock, &time) == 0)
            seconds += (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
    }
    return seconds;
}

enum status crew_run(struct crew *crew, uint32_t steps, struct crew_times *times, struct error *error)
{
    uint32_t servers = crew->params.server_count, clients = crew->params.client_count;
    double server_before = cpu_seconds(crew, 0, servers), client_before = cpu_seconds(crew, servers, clients);
    struct board *board = crew->board;
    enum status status;

    board->steps = steps < 1 ? 1 : steps < CREW_STEPS_MAX ? steps : CREW_STEPS_MAX;
    for (uint32_t i = 0; i < crew->params.client_count; i++)
        sem_post(&board->go[i]);
    status = crew_await(crew, crew->params.client_count, error);
    if (status != CAIRN_OK)
        return status;
    *times = board->times[0];
    for (uint32_t i = 1; i < crew->params.client_count; i++) {
        if (board->times[i].seconds > times->seconds)
            times->seconds = board->times[i].seconds;
    }
    times->server_cpu_seconds = cpu_seconds(crew, 0, servers) - server_before;
    times->client_cpu_seconds = cpu_seconds(crew, servers, clients) - client_before;
    return CAIRN_OK;
}

enum status crew_calibrate(struct crew *crew, double seconds, uint32_t *steps, struct error *error)
{
    struct crew_times times;
    double wanted = 1;

    for (int i = 0; i < 4; i++) { /* the first runs are slow: they touch memory for the first time */
        enum status status = crew_run(crew, (uint32_t)wanted, &times, error);

        if (status != CAIRN_OK)
            return status;
        wanted *= seconds / times.seconds;
        if (wanted < 1)
            wanted = 1;
        if (wanted > CREW_STEPS_MAX)
            wanted = CREW_STEPS_MAX;
    }
    *steps = (uint32_t)wanted;
    return CAIRN_OK;
}

/* The number of a line "NAME:  123 kB". */
static uint64_t status_bytes(FILE *file, const char *name)
{
    char line[256];
    uint64_t kilobytes = 0;

    rewind(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0 &&
            sscanf(line + strlen(name), ": %" SCNu64, &kilobytes) == 1)
            break;
    }
    return kilobytes * 1024;
}

uint64_t crew_server_bytes(const struct crew *crew, uint32_t server, uint64_t *peak)
{
    char path[64];
    uint64_t bytes;
    FILE *file;

    *peak = 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)crew->processes[server]);
    file = fopen(path, "r");
    if (!file)
        return 0;
    bytes = status_bytes(file, "VmRSS");
    *peak = status_bytes(file, "VmHWM");
    fclose(file);
    return bytes;
}
