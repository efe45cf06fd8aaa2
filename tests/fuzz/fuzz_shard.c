/* A server's shard on outside messages of clients and of other shards: a play of them, of commits and of
 * time.
 *
 * The first byte chooses the job: a model in mode sync, one whose updates need norms, one in mode ssp, or tables;
 * the shard is one of three in the chains of each. A scene is SCENE_BYTES of a header's members, then two bytes
 * for each payload: what it is about, and how long it is and what is in it. What the wire's checks let through
 * must harm nothing: no message may fail a job. */
#include "fuzz.h"
#include "base/log.h"
#include "net/wire.h"
#include "shard.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { JOB_CHAINS = 1, JOB_NORMS, JOB_UPDATES, JOB_TABLES, JOB_END };
enum {
    SCENE_KIND,
    SCENE_JOB,
    SCENE_TABLE,
    SCENE_STEP,
    SCENE_NODE,
    SCENE_FLAGS,
    SCENE_REQUEST,
    SCENE_COUNT,
    SCENE_BYTES
};

#define SHARDS         3
#define OWN            1 /* the middle of each chain */
#define WRITES_MAX     64
#define LEAVES         4
#define SCENE_PAYLOADS 8

struct play {
    struct shard *shard;
    uint64_t job;
    struct generation *writes[WRITES_MAX];
    uint32_t write_count;
};

static const char *const texts[] = {
    [JOB_CHAINS] = "name: chains\nmodel:\n  input_shape: [60]\n  layers:\n    - dense: {units: 300, "
                   "kernel_initializer: zeros}\n"
                   "    - dense: {units: 10}\n  loss: sparse_categorical_crossentropy\n"
                   "data:\n  train: {format: csv, path: train.csv}\n"
                   "train: {steps: 100, batch_size: 8, microbatches: 4, optimizer: adam, commit_every: 2}\n",
    [JOB_NORMS] =
        "name: norms\nmodel:\n  input_shape: [60]\n  layers:\n    - dense: {units: 300, kernel_initializer: "
        "zeros}\n"
        "    - dense: {units: 10}\n  loss: sparse_categorical_crossentropy\n"
        "data:\n  train: {format: csv, path: train.csv}\n"
        "train: {steps: 100, batch_size: 8, microbatches: 4, optimizer: {sgd: {global_clipnorm: 1}}}\n",
    [JOB_UPDATES] =
        "name: updates\nmodel:\n  input_shape: [60]\n  layers:\n    - dense: {units: 300, "
        "kernel_initializer: zeros}\n"
        "    - dense: {units: 10}\n  loss: sparse_categorical_crossentropy\n"
        "data:\n  train: {format: csv, path: train.csv}\n"
        "train: {mode: ssp, staleness: 1, steps: 100, batch_size: 8, microbatches: 4, optimizer: sgd}\n",
    [JOB_TABLES] =
        "name: tables\ntables:\n  - dense: {name: weights, size: 300, codec: bfloat16}\n"
        "  - sparse: {name: rows, dimension: 4, admit_after: 2}\n  - sparse: {name: others, dimension: 2}\n"
        "train: {microbatches: 4, optimizer: adagrad, commit_every: 2}\n",
};

static struct assignment *assignments[JOB_END];
static char directory[] =
    "/dev/shm/cairn-fuzz-XXXXXX"; /* each input makes stores anew: they are not for a disk */

/* ---- events */

static void on_reply(void *context, struct reply *reply)
{
    unsigned char packed[WIRE_HEADER_MAX];
    struct data_header header;
    struct error error;

    (void)context;
    REQUIRE(wire_data_unpack(packed, wire_data_pack(&reply->header, packed), &header, &error) == CAIRN_OK);
}

static void on_report(void *context, const struct shard_report *report)
{
    (void)context;
    REQUIRE(report->kind != SHARD_FAILED);
}

static void on_write(void *context, struct generation *generation)
{
    struct play *play = context;

    REQUIRE(play->write_count < WRITES_MAX);
    play->writes[play->write_count++] = generation;
}

static void on_tell(void *context, const struct shard_message *message)
{
    unsigned char packed[WIRE_HEADER_MAX];
    struct data_header header;
    struct error error;

    (void)context;
    REQUIRE(wire_data_unpack(packed, wire_data_pack(&message->header, packed), &header, &error) == CAIRN_OK);
}

static void on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

/* ---- the jobs */

static struct assignment *assignment_of(uint64_t job)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[SHARDS], *pointers[SHARDS];
    char names[SHARDS][8], endpoints[SHARDS][8];
    static uint32_t slots[PLACEMENT_SLOTS_MIN * SHARDS];
    struct assignment *assignment = NULL;
    struct error error;

    for (uint32_t i = 0; i < SHARDS; i++) {
        cairn__shard__init(&shards[i]);
        snprintf(names[i], sizeof(names[i]), "s%u", i);
        snprintf(endpoints[i], sizeof(endpoints[i]), "e%u", i);
        shards[i].server = names[i];
        shards[i].endpoint = endpoints[i];
        pointers[i] = &shards[i];
    }
    for (uint32_t slot = 0; slot < PLACEMENT_SLOTS_MIN; slot++) {
        for (uint32_t place = 0; place < SHARDS; place++)
            slots[slot * SHARDS + place] = (slot + place) % SHARDS;
    }
    text.text = (char *)texts[job];
    text.file_name = (char *)"fuzz.yaml";
    text.base_directory = (char *)"/";
    command.job = job;
    command.job_id = (char *)"fuzz-1";
    command.text = &text;
    command.n_shards = SHARDS;
    command.shards = pointers;
    command.n_slot_shards = (size_t)PLACEMENT_SLOTS_MIN * SHARDS;
    command.slot_shards = slots;
    command.replicas = SHARDS;
    REQUIRE(assignment_new(&command, names[OWN], 1, &assignment, &error) == CAIRN_OK);
    return assignment;
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts, (void)type, (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void begin_process(void)
{
    if (assignments[JOB_CHAINS])
        return;
    log_init(LOG_LEVEL_ERROR, "fuzz_shard");
    REQUIRE(mkdtemp(directory) != NULL);
    REQUIRE(atexit(remove_directory) == 0);
    for (uint64_t job = JOB_CHAINS; job < JOB_END; job++)
        assignments[job] = assignment_of(job);
}

/* ---- messages */

/* Lengths that something in the jobs has, and others. */
static uint64_t length_of(uint64_t number, uint32_t index, uint8_t choice)
{
    const struct job *job = assignments[number]->job;
    uint64_t begin = 0, end = 300;

    if (job->graph && index < job->graph->chunk_count)
        graph_chunk(job->graph, index, &begin, &end);
    switch (choice % 8) {
    case 0:
        return 0;
    case 1:
    case 2:
        return (end - begin) * sizeof(float);
    case 3:
        return (end - begin) * 2;
    case 4:
        return 4 * sizeof(double); /* the metrics */
    case 5:
        return (uint64_t)(choice / 8) * 8;
    case 6:
        return (uint64_t)(choice / 8) * 16;
    default:
        return choice;
    }
}

static void fill(struct buffer *buffer, uint8_t seed)
{
    for (size_t i = 0; i < buffer->length_bytes; i++)
        ((uint8_t *)buffer->data)[i] = seed % 4 == 0 ? 0 : (uint8_t)(seed + i / 8 * (i % 8 == 0));
}

/* As foreign bytes have it, members that its kind does not have included. */
static bool header_of(uint64_t job, const uint8_t *scene, const uint8_t *payloads, struct data_header *out)
{
    uint8_t flags = scene[SCENE_FLAGS];
    Cairn__DataHeader header = CAIRN__DATA_HEADER__INIT;
    Cairn__Payload items[SCENE_PAYLOADS], *pointers[SCENE_PAYLOADS];
    unsigned char packed[WIRE_HEADER_MAX];
    struct error error;

    header.protocol = PROTOCOL_VERSION;
    header.kind = (Cairn__DataKind)(scene[SCENE_KIND] % 14);
    header.job = scene[SCENE_JOB] < 250 ? job : job + 1;
    header.incarnation = scene[SCENE_JOB] < 200 ? 1 : scene[SCENE_JOB] % 4;
    header.table = scene[SCENE_TABLE] % 8;
    header.step = scene[SCENE_STEP] < 250 ? scene[SCENE_STEP] % 8 : WIRE_STEP_MAX - scene[SCENE_STEP] % 2;
    header.request = scene[SCENE_REQUEST] % 32;
    header.samples = scene[SCENE_REQUEST] % 16;
    header.worker = scene[SCENE_REQUEST] / 16 % 4;
    header.worker_step = scene[SCENE_NODE] % 8;
    header.divisor = flags / 32;
    header.map = scene[SCENE_TABLE] / 64;
    header.node_begin = scene[SCENE_NODE] % (LEAVES + 1);
    header.node_end = header.node_begin + 1 + scene[SCENE_NODE] / 8 % LEAVES;
    header.subscribe = flags & 1;
    header.exact = flags & 2;
    header.acknowledge = flags & 4;
    header.committed = flags & 8;
    header.newest = flags & 16;
    header.n_payloads = scene[SCENE_COUNT] % SCENE_PAYLOADS;
    header.payloads = pointers;
    for (size_t i = 0; i < header.n_payloads; i++) {
        cairn__payload__init(&items[i]);
        items[i].chunk = payloads[2 * i] % 16;
        items[i].type = (Cairn__DataType)(1 + payloads[2 * i] / 16 % 4);
        items[i].length_bytes = length_of(job, items[i].chunk, payloads[2 * i + 1]);
        pointers[i] = &items[i];
    }
    return wire_data_unpack(packed, cairn__data_header__pack(&header, packed), out, &error) == CAIRN_OK;
}

static void speak(struct play *play, const uint8_t *scene, const uint8_t *payloads)
{
    struct buffer *buffers[WIRE_PAYLOADS_MAX] = {NULL};
    struct data_header header;

    if (!header_of(play->job, scene, payloads, &header))
        return;
    for (uint32_t i = 0; i < header.payload_count; i++) {
        if (header.payloads[i].length_bytes == 0)
            continue;
        buffers[i] = buffer_new(header.payloads[i].length_bytes);
        REQUIRE(buffers[i] != NULL);
        fill(buffers[i], payloads[2 * i + 1]);
    }
    shard_handle(play->shard, &scene[SCENE_REQUEST], 1, &header, buffers);
}

/* ---- the play */

static void write_all(struct play *play)
{
    while (play->write_count > 0) {
        struct generation *generation = play->writes[0];
        struct error error;

        memmove(play->writes, play->writes + 1, --play->write_count * sizeof(play->writes[0]));
        REQUIRE(generation_write(generation, &error) == CAIRN_OK);
        shard_written(play->shard, generation, CAIRN_OK, &error);
    }
}

static void begin_epoch(struct play *play, uint64_t number)
{
    struct roster *roster = malloc(sizeof(*roster) + 2 * sizeof(roster->workers[0]));

    REQUIRE(roster != NULL);
    roster->number = number;
    roster->count = (uint32_t)(1 + number % 2);
    roster->workers[0] = (struct clock_start){1, 0};
    roster->workers[1] = (struct clock_start){2, 0};
    shard_begin_epoch(play->shard, JOB_UPDATES, 1, roster);
    free(roster);
}

static void act(struct play *play, const uint8_t *scene, const uint8_t *payloads)
{
    uint64_t job = play->job, step = scene[SCENE_STEP] % 8;

    switch (scene[SCENE_KIND] < 240 ? 0 : scene[SCENE_KIND] % 8) {
    case 1:
        write_all(play);
        break;
    case 2:
        shard_nudge(play->shard);
        break;
    case 3:
        shard_committed(play->shard, job, 1, step);
        break;
    case 4:
        if (job == JOB_UPDATES || job == JOB_TABLES) /* the others commit by themselves */
            shard_commit(play->shard, job, 1, step);
        break;
    case 5:
        begin_epoch(play, step + 1);
        break;
    case 6:
        while (shard_work(play->shard))
            ;
        break;
    default:
        speak(play, scene, payloads);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play play = {.write_count = 0};
    struct shard_events events = {on_reply, on_report, on_write, on_tell, on_parted, &play};
    struct job_store_owner owner = {directory, "s1", 0};

    if (size == 0)
        return 0;
    begin_process();
    play.shard = shard_new(&owner, 0, &events);
    if (!play.shard)
        return 0;
    play.job = 1 + data[0] % 4;
    shard_prepare(play.shard, assignments[play.job], 1, 0);
    data++;
    size--;
    while (size >= SCENE_BYTES) {
        size_t length = SCENE_BYTES + (size_t)(data[SCENE_COUNT] % SCENE_PAYLOADS) * 2;

        if (length > size)
            break;
        act(&play, data, data + SCENE_BYTES);
        data += length;
        size -= length;
    }
    write_all(&play);
    shard_free(play.shard);
    return 0;
}
