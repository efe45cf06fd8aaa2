/* What a job's status is in words and in JSON. */
#include "result.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *job_state_name(Cairn__JobState state)
{
    switch (state) {
    case CAIRN__JOB_STATE__JOB_STATE_PENDING:
        return "pending";
    case CAIRN__JOB_STATE__JOB_STATE_PREPARING:
        return "preparing";
    case CAIRN__JOB_STATE__JOB_STATE_RUNNING:
        return "running";
    case CAIRN__JOB_STATE__JOB_STATE_STOPPING:
        return "stopping";
    case CAIRN__JOB_STATE__JOB_STATE_COMMITTING:
        return "committing";
    case CAIRN__JOB_STATE__JOB_STATE_COMPLETED:
        return "completed";
    case CAIRN__JOB_STATE__JOB_STATE_STOPPED:
        return "stopped";
    case CAIRN__JOB_STATE__JOB_STATE_FAILED:
        return "failed";
    case CAIRN__JOB_STATE__JOB_STATE_WAITING:
        return "waiting";
    default:
        return "unknown"; /* a newer coordinator's */
    }
}

bool job_state_has_ended(Cairn__JobState state)
{
    return state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED || state == CAIRN__JOB_STATE__JOB_STATE_STOPPED ||
           state == CAIRN__JOB_STATE__JOB_STATE_FAILED;
}

bool result_is_success(const Cairn__JobStatus *status)
{
    if (status->tables > 0)
        return status->state == CAIRN__JOB_STATE__JOB_STATE_STOPPED;
    return status->state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED && status->output_error[0] == '\0';
}

uint64_t result_steps_done(const Cairn__JobStatus *status)
{
    return status->step > status->committed_step ? status->step : status->committed_step;
}

double result_seconds(const Cairn__JobStatus *status, int64_t now_ms)
{
    int64_t end_ms = status->finished_ms != 0 ? status->finished_ms : now_ms;

    if (status->started_ms == 0 || end_ms < status->started_ms)
        return 0;
    return (double)(end_ms - status->started_ms) / 1000.0;
}

double result_state_seconds(const Cairn__JobStatus *status, int64_t now_ms)
{
    if (status->state_ms == 0 || now_ms < status->state_ms)
        return 0;
    return (double)(now_ms - status->state_ms) / 1000.0;
}

void result_moment_text(int64_t unix_ms, char text[RESULT_MOMENT_BYTES])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;

    if (unix_ms == 0)
        snprintf(text, RESULT_MOMENT_BYTES, "-");
    else if (!localtime_r(&seconds, &parts) ||
             strftime(text, RESULT_MOMENT_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        snprintf(text, RESULT_MOMENT_BYTES, "?");
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *result_text(const char *text)
{
    json_t *string = json_string(text);
    char *copy;

    if (string)
        return string;
    copy = strdup(text);
    for (char *byte = copy; byte && *byte; byte++) {
        if ((unsigned char)*byte >= 0x80)
            *byte = '?';
    }
    string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

json_t *result_texts(char *const *list, size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, result_text(list[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? result_text(text) : json_null();
}

static json_t *whole(uint64_t number)
{
    return json_integer((json_int_t)number);
}

json_t *result_metrics(Cairn__Metric *const *metrics, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; object && i < count; i++) {
        if (json_object_set_new(object, metrics[i]->name, number_or_null(metrics[i]->value)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

json_t *result_json(const Cairn__JobStatus *status, int64_t now_ms)
{
    json_t *object = json_pack(
        "{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o, s:o, s:I, s:{s:o, s:o, s:o}}", "status",
        job_state_name(status->state), "job", text_or_null(status->id), "name", text_or_null(status->name),
        "model_hash", text_or_null(status->model_hash), "steps", (json_int_t)result_steps_done(status),
        "epochs", (json_int_t)status->epoch, "workers", (json_int_t)status->workers, "servers",
        (json_int_t)status->servers, "seconds", result_seconds(status, now_ms), "samples_per_second",
        number_or_null(status->samples_per_second), "metrics",
        result_metrics(status->validation, status->n_validation), "training",
        result_metrics(status->metrics, status->n_metrics), "output", text_or_null(status->output),
        "committed_step", (json_int_t)status->committed_step, "time", "compute",
        number_or_null(status->compute_share), "communication", number_or_null(status->communication_share),
        "waiting", number_or_null(status->waiting_share));

    if (object && status->reason[0] != '\0' &&
        json_object_set_new(object, "reason", result_text(status->reason)))
        goto fail;
    if (object && status->output_error[0] != '\0' &&
        json_object_set_new(object, "output_error", result_text(status->output_error)))
        goto fail;
    return object;
fail:
    json_decref(object);
    return NULL;
}

json_t *result_json_failed(const Cairn__JobStatus *status, const char *reason, int64_t now_ms)
{
    Cairn__JobStatus nothing = CAIRN__JOB_STATUS__INIT;
    json_t *object = result_json(status ? status : &nothing, now_ms);

    if (object && (json_object_set_new(object, "status", json_string("failed")) != 0 ||
                   json_object_set_new(object, "reason", result_text(reason)) != 0)) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

json_t *result_status_json(const Cairn__JobStatus *status, int64_t now_ms)
{
    json_t *object = result_json(status, now_ms);
    json_t *more = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "number", whole(status->number), "step", whole(result_steps_done(status)), "final_step",
        whole(status->final_step), "epochs_planned", whole(status->epochs), "microbatches",
        whole(status->microbatches), "tables", whole(status->tables), "incarnation",
        whole(status->incarnation), "membership_epoch", whole(status->membership_epoch), "submitted_ms",
        json_integer(status->submitted_ms), "started_ms", json_integer(status->started_ms), "finished_ms",
        json_integer(status->finished_ms), "state_ms", json_integer(status->state_ms), "workers_target",
        whole(status->workers_target), "servers_target", whole(status->servers_target), "divergences",
        whole(status->divergences), "backup_microbatches", whole(status->backup_microbatches),
        "validation_step", whole(status->validation_step), "excluded",
        result_texts(status->excluded, status->n_excluded), "leaving",
        result_texts(status->leaving, status->n_leaving));

    if (!object || !more || json_object_update(object, more) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(more);
    return object;
}

static void count_text(uint32_t count, uint32_t target, const char *between, char *text, size_t size)
{
    if (target > 0 && target != count)
        snprintf(text, size, "%" PRIu32 "%s%" PRIu32, count, between, target);
    else
        snprintf(text, size, "%" PRIu32, count);
}

void result_workers_text(const Cairn__JobStatus *status, const char *between, char *text, size_t size)
{
    count_text(status->workers, status->workers_target, between, text, size);
}

void result_servers_text(const Cairn__JobStatus *status, const char *between, char *text, size_t size)
{
    count_text(status->servers, status->servers_target, between, text, size);
}

void result_metrics_text(Cairn__Metric *const *metrics, size_t count, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        double value = metrics[i]->value;
        int more = snprintf(text + used, size - used, "%s%s %.4f", i > 0 ? "  " : "", metrics[i]->name,
                            isnan(value) ? (double)NAN : value); /* a NaN's sign says nothing */

        if (more < 0)
            return;
        used += (size_t)more;
    }
}
