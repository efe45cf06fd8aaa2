/* How a training's progress is shown: a live line on a terminal, and a line at each epoch's end everywhere.
 * What is said is made by pure functions of the coordinator's statuses; `struct progress` writes it. Main
 * thread. */
#ifndef CAIRN_CLI_PROGRESS_H
#define CAIRN_CLI_PROGRESS_H

#include "job.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_LINE_BYTES 512

/* "0:07", "12:34", "1:02:03". */
void progress_duration(double seconds, char *text, size_t size);

/* "1,234,567". */
void progress_count(uint64_t number, char *text, size_t size);

/* Seconds until the final step at the present speed; negative: not known. batch_size in samples; 0: not
 * known. */
double progress_seconds_left(const Cairn__JobStatus *status, uint32_t batch_size);

/* The live line, at most `columns` wide: epoch, bar, step, metrics, speed, time left, or what is waited for.
 */
void progress_live_line(const Cairn__JobStatus *status, uint32_t batch_size, size_t columns,
                        char line[PROGRESS_LINE_BYTES]);

/* Which epochs have been told, and the one whose validation is awaited. */
struct progress_epochs {
    bool has_validation;
    uint32_t told;    /* the newest epoch that was told, or that was over before we came */
    uint32_t waiting; /* an epoch that is over and waits for its validation; 0: none */
    uint64_t step;    /* at its end */
    char training[PROGRESS_LINE_BYTES / 2];
};

/* first: the status when watching begins. */
void progress_epochs_init(struct progress_epochs *epochs, bool has_validation, const Cairn__JobStatus *first);

/* Takes in a status; true: line is to be printed, and the same status is to be given again for more. Statuses
 * may skip epochs: then only the newest is told. */
bool progress_epochs_next(struct progress_epochs *epochs, const Cairn__JobStatus *status, int64_t now_ms,
                          char line[PROGRESS_LINE_BYTES]);

/* Whether the job waits for nodes in the middle of its training, as was last told. */
struct progress_pause {
    bool waits;
    int64_t since_ms; /* Unix time; 0: not known */
};

/* Takes in a status; true: line is to be printed, as a wait has begun or is over. */
bool progress_pause_next(struct progress_pause *pause, const Cairn__JobStatus *status,
                         char line[PROGRESS_LINE_BYTES]);

struct progress {
    FILE *file;      /* NULL: says nothing */
    bool live;       /* file is a terminal */
    bool line_shown; /* a live line stands on it */
    uint32_t batch_size;
    struct progress_epochs epochs;
    struct progress_pause pause;
};

/* file: where to, NULL: nowhere. live_only: nothing unless it is a terminal. */
void progress_init(struct progress *progress, FILE *file, bool live_only);

/* Begins with the status that the job has at first. */
void progress_begin(struct progress *progress, bool has_validation, uint32_t batch_size,
                    const Cairn__JobStatus *first);

/* Shows a status. */
void progress_update(struct progress *progress, const Cairn__JobStatus *status);

/* Prints a line that stays. */
void progress_note(struct progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes the live line away. */
void progress_clear(struct progress *progress);

#endif
