/* The worker's settings, one row each. */
#include "worker.h"

#include "job/job.h"
#include "net/setting_rows.h"

#define THREADS_MAX 1024

static const char *const devices[] = {
    [DEVICE_AUTO] = "auto", [DEVICE_CPU] = "cpu", [DEVICE_CUDA] = "cuda", NULL};

static const struct setting rows[] = {
    SETTING_ROW_COORDINATOR(struct worker_options),
    {.name = "name",
     .letter = 'n',
     .type = SETTING_TEXT,
     .environment = "CAIRN_NAME",
     .value_name = "NAME",
     .help = "unique in the cluster (default: made from host and process)",
     .offset = offsetof(struct worker_options, name)},
    {.name = "threads",
     .letter = 't',
     .type = SETTING_INTEGER,
     .environment = "CAIRN_THREADS",
     .fallback = "0",
     .minimum = 0,
     .maximum = THREADS_MAX,
     .value_name = "N",
     .help = "microbatches computed at once; 0: as the job says, else one a core",
     .offset = offsetof(struct worker_options, threads)},
    {.name = "device",
     .type = SETTING_CHOICE,
     .environment = "CAIRN_DEVICE",
     .fallback = "auto",
     .value_name = "DEVICE",
     .help = "what computes; auto: the best that is there",
     .words = devices,
     .offset = offsetof(struct worker_options, device)},
    SETTING_ROW_LOG_LEVEL(struct worker_options),
};

const struct settings_table worker_options_table = {
    .program = "cairn-worker",
    .summary =
        "Computes gradients of jobs; `cairn-worker evaluate --help` tells of evaluating a model file. Told "
        "to "
        "end by SIGTERM or SIGINT it first gives its work to others; the second signal ends it at once.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0])};
