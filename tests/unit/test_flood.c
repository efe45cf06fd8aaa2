/* A shard thread among 64 clients that push and subscribe and never read, with sockets: what it holds for
 * them is bounded, one that reads goes on at its pace, and one that reads late is told and catches up.
 *
 * The shard's process is a child, so that its memory is its own. The clients' sockets take no more than a
 * message ahead, and ipc's buffers in the kernel are small. */
#include "check_main.h"
#include "folder.h"
#include "net/actor.h"
#include "net/daemon.h"
#include "net/frames.h"
#include "net/wire.h"
#include "outbox.h"
#include "shard.h"
#include "shard_actor.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define JOB         9
#define INCARNATION 1
#define SILENT      64
#define FLOATS      (1u << 20) /* 4 MiB */
#define CHUNKS      16
#define CHUNK_BYTES (FLOATS / CHUNKS * 4)
#define PATIENCE_MS 20000
/* Sanitizers have memory of their own, beside and for what is freed: no figure to judge by. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEPS         40
#define GROWTH_MAX_MB 4096
#else
#define STEPS         150
#define GROWTH_MAX_MB 160
#endif

/* ---- the shard's process */

static struct assignment *assign(void)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shard = CAIRN__SHARD__INIT, *pointer = &shard;
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error = {.message = ""};

    text.text = (char *)"name: flood\nmodel:\n  input_shape: [1024]\n  layers:\n"
                        "    - dense: {units: 1024, use_bias: false}\n"
                        "  loss: sparse_categorical_crossentropy\n"
                        "data:\n  train: {format: csv, path: train.csv}\n"
                        "train: {steps: 100000, batch_size: 2, microbatches: 2, commit_every: 100000,\n"
                        "  optimizer: sgd}\n";
    text.file_name = (char *)"flood.yaml";
    text.base_directory = (char *)"/";
    shard.server = (char *)"one";
    placement_assign(slots, PLACEMENT_SLOTS_MIN, 1);
    command.job = JOB;
    command.job_id = (char *)"flood-9";
    command.text = &text;
    command.n_shards = 1;
    command.shards = &pointer;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", 1, &assignment, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(assignment->job->graph->chunk_count, CHUNKS);
    return assignment;
}

static void serve(const char *folder, const char *endpoint, int ready)
{
    struct shard_actor_params params = {.owner = {folder, "one", 0}, .listen = endpoint};
    struct shard_command command = {.kind = SHARD_COMMAND_PREPARE, .job = JOB, .incarnation = INCARNATION};
    struct shard_report report;
    struct actor *shard = NULL;
    struct error error = {.message = ""};
    zmq_pollitem_t item = {NULL, 0, ZMQ_POLLIN, 0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    daemon_keep_memory();
    ck_assert_msg(actor_start(zmq_ctx_new(), "shard-0", shard_actor_run, &params, &shard, &error) == CAIRN_OK,
                  "%s", error.message);
    command.assignment = assign();
    ck_assert_int_eq(actor_tell(shard, &command, sizeof(command), &error), CAIRN_OK);
    item.socket = actor_pipe(shard);
    ck_assert_int_eq(zmq_poll(&item, 1, PATIENCE_MS), 1);
    ck_assert_int_eq(actor_hear(shard, &report, sizeof(report), &error), CAIRN_OK);
    ck_assert_int_eq(report.kind, SHARD_PREPARED);
    ck_assert_int_eq(write(ready, "", 1), 1);
    for (;;)
        pause();
}

struct flood {
    char folder[FOLDER_BYTES], endpoint[FOLDER_BYTES + 16];
    pid_t process;
    void *context;
    void *reader, *silent[SILENT];
    struct buffer *gradients; /* of one chunk */
};

static void *client_new(struct flood *flood, int queue)
{
    const int none = 0;
    void *socket = zmq_socket(flood->context, ZMQ_DEALER);

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)), 0);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)), 0);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof(queue)), 0);
    ck_assert_int_eq(zmq_connect(socket, flood->endpoint), 0);
    return socket;
}

static void flood_begin(struct flood *flood)
{
    int ready[2];
    char byte;

    folder_make(flood->folder);
    snprintf(flood->endpoint, sizeof(flood->endpoint), "ipc://%s/shard", flood->folder);
    ck_assert_int_eq(pipe(ready), 0);
    flood->process = fork();
    ck_assert_int_ge(flood->process, 0);
    if (flood->process == 0)
        serve(flood->folder, flood->endpoint, ready[1]);
    ck_assert_int_eq(poll(&(struct pollfd){ready[0], POLLIN, 0}, 1, PATIENCE_MS), 1);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]), close(ready[1]);
    flood->context = zmq_ctx_new();
    flood->reader = client_new(flood, 0);
    for (int i = 0; i < SILENT; i++)
        flood->silent[i] = client_new(flood, 1);
    flood->gradients = buffer_new(CHUNK_BYTES);
    ck_assert_ptr_nonnull(flood->gradients);
    memset(flood->gradients->data, 0, CHUNK_BYTES);
}

static void flood_end(struct flood *flood)
{
    kill(flood->process, SIGKILL);
    waitpid(flood->process, NULL, 0);
    zmq_close(flood->reader);
    for (int i = 0; i < SILENT; i++)
        zmq_close(flood->silent[i]);
    zmq_ctx_term(flood->context);
    buffer_unref(flood->gradients);
    folder_remove(flood->folder);
}

/* ---- messages */

static void send_message(void *socket, struct data_header *header, struct buffer *payload)
{
    unsigned char packed[WIRE_HEADER_MAX];
    struct frames frames;
    struct error error = {.message = ""};

    frames_init(&frames);
    header->job = JOB;
    header->incarnation = INCARNATION;
    ck_assert_int_eq(frames_append_copy(&frames, packed, wire_data_pack(header, packed)), CAIRN_OK);
    for (uint32_t i = 0; payload && i < header->payload_count; i++)
        ck_assert_int_eq(frames_append_buffer(&frames, payload, 0, CHUNK_BYTES), CAIRN_OK);
    ck_assert_msg(frames_send(socket, &frames, &error) == CAIRN_OK, "%s", error.message);
}

/* Chunks [first, first + count) of tree node `node` of a step. */
static void push(void *socket, uint64_t step, struct tree_node node, uint32_t first, uint32_t count,
                 struct buffer *gradients)
{
    struct data_header header = {
        .kind = DATA_PUSH, .step = step, .node = node, .samples = 1, .subscribe = true};

    for (uint32_t i = 0; i < count; i++)
        header.payloads[header.payload_count++] = (struct data_payload){first + i, DATA_FLOAT32, CHUNK_BYTES};
    send_message(socket, &header, gradients);
}

static void pull(void *socket, uint64_t version)
{
    struct data_header header = {.kind = DATA_PULL, .step = version};

    for (uint32_t i = 0; i < CHUNKS; i++)
        header.payloads[header.payload_count++] = (struct data_payload){i, DATA_FLOAT32, 0};
    send_message(socket, &header, NULL);
}

static struct data_header hear(void *socket)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    struct data_header header;
    struct frames frames;
    struct error error = {.message = ""};

    frames_init(&frames);
    ck_assert_msg(zmq_poll(&item, 1, PATIENCE_MS) == 1, "no answer came");
    ck_assert_msg(frames_receive(socket, &frames, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_msg(wire_data_unpack(frames_data(&frames, 0), frames_length(&frames, 0), &header, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    ck_assert_uint_eq(frames.count, 1 + (header.kind == DATA_VALUES ? header.payload_count : 0));
    frames_clear(&frames);
    return header;
}

/* Reads until all chunks of a version are there. */
static void hear_version(void *socket, uint64_t version)
{
    for (uint32_t chunks = 0; chunks < CHUNKS;) {
        struct data_header header = hear(socket);

        ck_assert_msg(header.kind == DATA_VALUES, "%s", header.message);
        ck_assert_uint_eq(header.step, version);
        chunks += header.payload_count;
    }
}

/* A step: all silent clients push one half of one chunk's batch each and subscribe to all chunks; the reader
 * pushes all of it and reads what comes. */
static void take_step(struct flood *flood, uint64_t step)
{
    const struct tree_node half = {0, 1}, whole = {0, 2};

    for (int i = 0; i < SILENT; i++) {
        push(flood->silent[i], step, half, (uint32_t)i % CHUNKS, 1, flood->gradients);
        pull(flood->silent[i], step + 1);
    }
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk += 8)
        push(flood->reader, step, whole, chunk, 8, flood->gradients);
    hear_version(flood->reader, step + 1);
}

static uint64_t resident_bytes(pid_t process)
{
    char path[64], line[256];
    uint64_t kilobytes = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)process);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) && sscanf(line, "VmRSS: %" SCNu64, &kilobytes) != 1)
        ;
    fclose(file);
    return kilobytes * 1024;
}

/* ---- the tests */

START_TEST(silent_clients_cost_a_bounded_amount)
{
    struct flood flood;
    uint64_t begin, end;

    flood_begin(&flood);
    for (uint64_t step = 0; step < 10; step++)
        take_step(&flood, step);
    begin = resident_bytes(flood.process);
    for (uint64_t step = 10; step < STEPS; step++)
        take_step(&flood, step);
    end = resident_bytes(flood.process);
    /* Every version kept would be STEPS * 4 MiB. What the silent ones hold are the limit's bytes of the same
     * few versions, and what they have pushed is read as fast as it comes. */
    ck_assert_msg(end < begin + (uint64_t)GROWTH_MAX_MB * 1024 * 1024, "%" PRIu64 " bytes, then %" PRIu64,
                  begin, end);
    flood_end(&flood);
}
END_TEST

START_TEST(who_reads_late_is_told_and_catches_up)
{
    const uint64_t queued_max = OUTBOX_BYTES_LIMIT + 2 * FLOATS * 4 /* in the kernel and at the client */;
    struct flood flood;
    struct data_header header;
    uint64_t bytes = 0, step;

    flood_begin(&flood);
    for (step = 0; step < 30; step++)
        take_step(&flood, step);
    for (;;) {
        header = hear(flood.silent[0]);
        if (header.kind == DATA_REFUSED)
            break;
        for (uint32_t i = 0; i < header.payload_count; i++)
            bytes += header.payloads[i].length_bytes;
    }
    ck_assert_int_eq(header.refused, DATA_REFUSED_LOST);
    ck_assert_uint_eq(header.job, JOB);
    ck_assert_uint_eq(header.incarnation, INCARNATION);
    ck_assert_uint_eq(header.table, TABLE_WEIGHTS);
    ck_assert_uint_gt(bytes, 0);
    ck_assert_uint_le(bytes, queued_max);
    pull(flood.silent[0], step);
    hear_version(flood.silent[0], step);
    flood_end(&flood);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("flood");
    TCase *tests = tcase_create("flood");

    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, silent_clients_cost_a_bounded_amount);
    tcase_add_test(tests, who_reads_late_is_told_and_catches_up);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
