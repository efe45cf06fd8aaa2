/* How a training's progress is shown. */
#include "progress.h"

#include "base/clock.h"
#include "result.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80

#define STATE(name) CAIRN__JOB_STATE__JOB_STATE_##name

/* ---- words */

void progress_duration(double seconds, char *text, size_t size)
{
    uint64_t whole = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 0;
    unsigned hours = (unsigned)(whole / 3600), minutes = (unsigned)(whole / 60 % 60);

    if (hours > 0)
        snprintf(text, size, "%u:%02u:%02u", hours, minutes, (unsigned)(whole % 60));
    else
        snprintf(text, size, "%u:%02u", minutes, (unsigned)(whole % 60));
}

void progress_count(uint64_t number, char *text, size_t size)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), used = 0;

    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

double progress_seconds_left(const Cairn__JobStatus *status, uint32_t batch_size)
{
    if (batch_size == 0 || status->final_step == 0 || status->step > status->final_step ||
        !(status->samples_per_second > 0))
        return -1;
    return (double)(status->final_step - status->step) * batch_size / status->samples_per_second;
}

/* A line that is put together in pieces; what does not fit is cut. */
struct line {
    char *text;
    size_t used, size;
};

static void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line_add(struct line *line, const char *format, ...)
{
    va_list args;
    int more;

    va_start(args, format);
    more = vsnprintf(line->text + line->used, line->size - line->used, format, args);
    va_end(args);
    if (more > 0)
        line->used += (size_t)more < line->size - line->used ? (size_t)more : line->size - line->used - 1;
}

static void line_add_metrics(struct line *line, const char *before, Cairn__Metric *const *metrics,
                             size_t count)
{
    char text[PROGRESS_LINE_BYTES / 2];

    if (count == 0)
        return;
    result_metrics_text(metrics, count, text, sizeof(text));
    line_add(line, "%s%s", before, text);
}

static void line_add_speed(struct line *line, const char *before, double samples_per_second, const char *unit)
{
    char count[32];

    if (!(samples_per_second > 0) || samples_per_second > 1e15)
        return;
    progress_count((uint64_t)(samples_per_second + 0.5), count, sizeof(count));
    line_add(line, "%s%s%s", before, count, unit);
}

/* How much the live line takes room for; the first that fits is taken. */
struct layout {
    unsigned bar_width;
    const char *speed_unit;
};
static const struct layout layouts[] = {{20, " samples/s"}, {10, " samples/s"}, {10, "/s"}, {0, "/s"}};

/* "[=====>    ] " */
static void line_add_bar(struct line *line, uint64_t done, uint64_t all, unsigned width)
{
    unsigned filled = done < all ? (unsigned)((double)done / (double)all * width) : width;

    if (width == 0)
        return;
    line_add(line, "[");
    for (unsigned i = 0; i < width; i++)
        line_add(line, "%c", i < filled ? '=' : i == filled ? '>' : ' ');
    line_add(line, "] ");
}

/* Where in its epoch, or in all of it, the training is. */
static void line_add_place(struct line *line, const Cairn__JobStatus *status, unsigned bar_width)
{
    uint64_t all = status->steps_per_epoch, done = status->step;

    if (all > 0 && status->epochs > 0) {
        uint32_t epoch = status->epoch < status->epochs ? status->epoch : status->epochs - 1;

        done -= epoch * all < done ? epoch * all : done;
        if (status->final_step > epoch * all && status->final_step - epoch * all < all)
            all = status->final_step - epoch * all; /* `steps` may end within an epoch */
        line_add(line, "epoch %" PRIu32 "/%" PRIu32 " ", epoch + 1, status->epochs);
    } else {
        all = status->final_step;
    }
    if (all == 0)
        return;
    line_add_bar(line, done, all, bar_width);
    line_add(line, "step %" PRIu64 "/%" PRIu64, done, all);
}

static void line_add_training(struct line *line, const Cairn__JobStatus *status, uint32_t batch_size,
                              const struct layout *layout)
{
    double left = progress_seconds_left(status, batch_size);
    char duration[32];

    line_add_place(line, status, layout->bar_width);
    line_add_metrics(line, "  ", status->metrics, status->n_metrics);
    line_add_speed(line, "  ", status->samples_per_second, layout->speed_unit);
    if (left >= 0) {
        progress_duration(left, duration, sizeof(duration));
        line_add(line, "  %s left", duration);
    }
}

static void training_line(const Cairn__JobStatus *status, uint32_t batch_size, size_t columns,
                          char text[PROGRESS_LINE_BYTES])
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        struct line line = {text, 0, PROGRESS_LINE_BYTES};

        text[0] = '\0';
        line_add_training(&line, status, batch_size, &layouts[i]);
        if (line.used <= columns)
            return;
    }
}

void progress_live_line(const Cairn__JobStatus *status, uint32_t batch_size, size_t columns,
                        char text[PROGRESS_LINE_BYTES])
{
    struct line line = {text, 0, PROGRESS_LINE_BYTES};

    text[0] = '\0';
    switch (status->state) {
    case STATE(PENDING):
        line_add(&line, "%s", status->reason[0] ? status->reason : "waits for servers and workers");
        break;
    case STATE(WAITING):
        line_add(&line, "step %" PRIu64 ": %s", status->step,
                 status->reason[0] ? status->reason : "waits for servers and workers");
        break;
    case STATE(PREPARING):
        line_add(&line, "preparing: the nodes load state and data");
        break;
    case STATE(STOPPING):
        line_add(&line, "stopping after the step in hand (%" PRIu64 ")", status->step);
        break;
    case STATE(COMMITTING):
        line_add(&line, "making step %" PRIu64 " durable", status->step);
        break;
    default:
        training_line(status, batch_size, columns, text);
    }
    if (columns < PROGRESS_LINE_BYTES)
        text[columns] = '\0';
}

/* ---- epochs */

void progress_epochs_init(struct progress_epochs *epochs, bool has_validation, const Cairn__JobStatus *first)
{
    *epochs = (struct progress_epochs){.has_validation = has_validation, .told = first->epoch};
}

/* An epoch is over. Its metrics are the status's, unless the next epoch's first steps are in them already. */
static void end_epoch(struct progress_epochs *epochs, const Cairn__JobStatus *status)
{
    epochs->waiting = status->epoch;
    epochs->step = status->steps_per_epoch * status->epoch;
    epochs->training[0] = '\0';
    if (status->step == epochs->step)
        result_metrics_text(status->metrics, status->n_metrics, epochs->training, sizeof(epochs->training));
}

/* Whether the status's validation is the waiting epoch's. */
static bool is_validated(const struct progress_epochs *epochs, const Cairn__JobStatus *status)
{
    return status->n_validation > 0 && status->validation_step == epochs->step;
}

/* Whether no more news of the waiting epoch can come. */
static bool is_over(const struct progress_epochs *epochs, const Cairn__JobStatus *status)
{
    return !epochs->has_validation || status->validation_step >= epochs->step ||
           status->epoch > epochs->waiting || job_state_has_ended(status->state);
}

static void epoch_line(const struct progress_epochs *epochs, const Cairn__JobStatus *status, int64_t now_ms,
                       char text[PROGRESS_LINE_BYTES])
{
    struct line line = {text, 0, PROGRESS_LINE_BYTES};
    char duration[32];

    progress_duration(result_seconds(status, now_ms), duration, sizeof(duration));
    line_add(&line, "epoch %" PRIu32, epochs->waiting);
    if (status->epochs > 0)
        line_add(&line, "/%" PRIu32, status->epochs);
    line_add(&line, "  step %" PRIu64, epochs->step);
    if (epochs->training[0] != '\0')
        line_add(&line, "  %s", epochs->training);
    if (is_validated(epochs, status))
        line_add_metrics(&line, "  validation: ", status->validation, status->n_validation);
    line_add(&line, "  (%s", duration);
    line_add_speed(&line, ", ", status->samples_per_second, " samples/s");
    line_add(&line, ")");
}

bool progress_epochs_next(struct progress_epochs *epochs, const Cairn__JobStatus *status, int64_t now_ms,
                          char line[PROGRESS_LINE_BYTES])
{
    if (epochs->waiting == 0 && status->epoch > epochs->told)
        end_epoch(epochs, status);
    if (epochs->waiting == 0 || !is_over(epochs, status))
        return false;
    epoch_line(epochs, status, now_ms, line);
    epochs->told = epochs->waiting;
    epochs->waiting = 0;
    return true;
}

/* ---- pauses */

static void begin_pause(struct progress_pause *pause, const Cairn__JobStatus *status, struct line *line)
{
    *pause = (struct progress_pause){.waits = true, .since_ms = status->state_ms};
    line_add(line, "step %" PRIu64 ": %s", status->step,
             status->reason[0] ? status->reason : "waits for servers or workers");
}

static void end_pause(struct progress_pause *pause, const Cairn__JobStatus *status, struct line *line)
{
    char duration[32];

    line_add(line, "goes on from step %" PRIu64, status->step);
    if (pause->since_ms > 0 && status->state_ms >= pause->since_ms) {
        progress_duration((double)(status->state_ms - pause->since_ms) / 1000.0, duration, sizeof(duration));
        line_add(line, " after %s", duration);
    }
    *pause = (struct progress_pause){.waits = false};
}

bool progress_pause_next(struct progress_pause *pause, const Cairn__JobStatus *status,
                         char text[PROGRESS_LINE_BYTES])
{
    struct line line = {text, 0, PROGRESS_LINE_BYTES};

    if (!pause->waits && status->state == STATE(WAITING))
        begin_pause(pause, status, &line);
    else if (pause->waits && status->state == STATE(RUNNING))
        end_pause(pause, status, &line);
    return line.used > 0;
}

/* ---- writing */

void progress_init(struct progress *progress, FILE *file, bool live_only)
{
    const char *terminal = getenv("TERM");
    bool live = isatty(fileno(file)) && terminal && strcmp(terminal, "dumb") != 0;

    *progress = (struct progress){.file = live || !live_only ? file : NULL, .live = live};
}

void progress_begin(struct progress *progress, bool has_validation, uint32_t batch_size,
                    const Cairn__JobStatus *first)
{
    progress->batch_size = batch_size;
    progress_epochs_init(&progress->epochs, has_validation, first);
}

static size_t terminal_columns(FILE *file)
{
    struct winsize window;

    if (ioctl(fileno(file), TIOCGWINSZ, &window) != 0 || window.ws_col == 0)
        return COLUMNS_DEFAULT;
    return window.ws_col;
}

void progress_clear(struct progress *progress)
{
    if (!progress->line_shown)
        return;
    fputs("\r\033[K", progress->file);
    fflush(progress->file);
    progress->line_shown = false;
}

void progress_note(struct progress *progress, const char *format, ...)
{
    va_list args;

    if (!progress->file)
        return;
    progress_clear(progress);
    va_start(args, format);
    vfprintf(progress->file, format, args);
    va_end(args);
    fputc('\n', progress->file);
    fflush(progress->file);
}

void progress_update(struct progress *progress, const Cairn__JobStatus *status)
{
    char line[PROGRESS_LINE_BYTES];

    if (!progress->file)
        return;
    while (progress_epochs_next(&progress->epochs, status, clock_unix_ms(), line))
        progress_note(progress, "%s", line);
    if (progress_pause_next(&progress->pause, status, line))
        progress_note(progress, "%s", line);
    if (!progress->live || job_state_has_ended(status->state))
        return;
    progress_live_line(status, progress->batch_size, terminal_columns(progress->file) - 1, line);
    fprintf(progress->file, "\r%s\033[K", line);
    fflush(progress->file);
    progress->line_shown = true;
}
