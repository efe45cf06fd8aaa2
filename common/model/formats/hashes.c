/* Records of hashes as text. */
#include "model/formats/hashes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC      "cairn hashes 1"
#define SUM_DIGITS 16

/* "STEP copy TIME", as long as the numbers can be. */
#define LINE_START_BYTES 64

/* ---- writing */

static void write_name(FILE *file, const char *key, const char *name)
{
    fprintf(file, "%s ", key);
    for (const char *byte = name; *byte; byte++)
        fputc((unsigned char)*byte < ' ' ? '?' : *byte, file);
    fputc('\n', file);
}

char *hashes_head_text(const struct hashes_origin *origin, const struct graph *graph)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    bool failed;

    if (!file)
        return NULL;
    fprintf(file, "%s\n", MAGIC);
    write_name(file, "job", origin->job);
    write_name(file, "worker", origin->worker);
    fprintf(file, "seed %" PRIu64 "\ndigest %s\ntensors %" PRIu32 "\n", origin->seed, origin->digest,
            graph->parameter_count);
    for (uint32_t i = 0; i < graph->parameter_count; i++)
        write_name(file, "tensor", graph->parameters[i].name);
    failed = ferror(file);
    failed = fclose(file) != 0 || failed;
    if (!failed)
        return text;
    free(text);
    return NULL;
}

size_t hashes_line_bytes_max(uint32_t tensor_count)
{
    return LINE_START_BYTES + (size_t)tensor_count * (1 + SUM_DIGITS) + 2;
}

size_t hashes_line_text(const struct hashes_line *line, uint32_t tensor_count, char *text)
{
    size_t used = (size_t)snprintf(text, LINE_START_BYTES, "%" PRIu64 " %s %" PRId64, line->step,
                                   line->is_copy ? "copy" : "exact", line->time_ms);

    for (uint32_t i = 0; i < tensor_count; i++)
        used += (size_t)snprintf(text + used, SUM_DIGITS + 2, " %016" PRIx64, line->sums[i]);
    text[used++] = '\n';
    text[used] = '\0';
    return used;
}

/* ---- reading */

/* Where reading is, and who is to blame. */
struct cursor {
    const char *next, *end;
    const char *name;
    size_t line_number; /* of the line that was taken last, from 1 */
    struct error *error;
};

/* A run of bytes of the text. */
struct piece {
    const char *bytes;
    size_t length;
};

static enum status refuse(const struct cursor *cursor, const char *what)
{
    return error_set(cursor->error, CAIRN_CORRUPT, "%s:%zu: %s", cursor->name, cursor->line_number, what);
}

/* The next whole line, without its end; false: there is none. */
static bool take_line(struct cursor *cursor, struct piece *line)
{
    size_t left = (size_t)(cursor->end - cursor->next);
    const char *newline = left > 0 ? memchr(cursor->next, '\n', left) : NULL;

    cursor->line_number++;
    if (!newline)
        return false;
    *line = (struct piece){cursor->next, (size_t)(newline - cursor->next)};
    cursor->next = newline + 1;
    return true;
}

/* The word up to the next space, which is dropped with it. */
static struct piece take_word(struct piece *line)
{
    const char *space = line->length > 0 ? memchr(line->bytes, ' ', line->length) : NULL;
    struct piece word = {line->bytes, space ? (size_t)(space - line->bytes) : line->length};
    size_t taken = word.length + (space ? 1 : 0);

    *line = (struct piece){line->bytes + taken, line->length - taken};
    return word;
}

static bool piece_is(struct piece piece, const char *text)
{
    return piece.length == strlen(text) && memcmp(piece.bytes, text, piece.length) == 0;
}

/* Decimal digits alone, up to maximum. */
static bool parse_number(struct piece piece, uint64_t maximum, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < piece.length; i++) {
        uint64_t digit = (uint64_t)(unsigned char)piece.bytes[i] - '0';

        if (digit > 9 || *number > (maximum - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return piece.length > 0;
}

static int hexadecimal(char byte)
{
    return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Lower-case hexadecimal digits, as many as are written. */
static bool parse_sum(struct piece piece, uint64_t *sum)
{
    *sum = 0;
    for (size_t i = 0; i < piece.length && i < SUM_DIGITS; i++) {
        int digit = hexadecimal(piece.bytes[i]);

        if (digit < 0)
            return false;
        *sum = *sum << 4 | (uint64_t)digit;
    }
    return piece.length == SUM_DIGITS;
}

/* The value of a line of the head, "KEY VALUE". */
static enum status take_value(struct cursor *cursor, const char *key, struct piece *value)
{
    char what[64];

    snprintf(what, sizeof(what), "expected a line \"%s ...\"", key);
    if (!take_line(cursor, value) || !piece_is(take_word(value), key))
        return refuse(cursor, what);
    return CAIRN_OK;
}

static enum status take_name(struct cursor *cursor, const char *key, char name[HASHES_NAME_BYTES])
{
    struct piece value = {NULL, 0};
    enum status status = take_value(cursor, key, &value);

    if (status != CAIRN_OK)
        return status;
    if (value.length >= HASHES_NAME_BYTES || memchr(value.bytes, '\0', value.length))
        return refuse(cursor, "a name that is too long or has a zero byte");
    memcpy(name, value.bytes, value.length);
    name[value.length] = '\0';
    return CAIRN_OK;
}

static enum status take_number(struct cursor *cursor, const char *key, uint64_t maximum, uint64_t *number)
{
    struct piece value = {NULL, 0};
    enum status status = take_value(cursor, key, &value);

    if (status == CAIRN_OK && !parse_number(value, maximum, number))
        return refuse(cursor, "a number that is none or too large");
    return status;
}

static enum status take_digest(struct cursor *cursor, char digest[HASH_TEXT_BYTES])
{
    struct piece value = {NULL, 0};
    enum status status = take_value(cursor, "digest", &value);

    if (status != CAIRN_OK)
        return status;
    if (value.length != HASH_TEXT_BYTES - 1)
        return refuse(cursor, "a digest has 64 hexadecimal digits");
    for (size_t i = 0; i < value.length; i++) {
        if (hexadecimal(value.bytes[i]) < 0)
            return refuse(cursor, "a digest has 64 hexadecimal digits");
        digest[i] = value.bytes[i];
    }
    digest[value.length] = '\0';
    return CAIRN_OK;
}

static enum status take_tensors(struct cursor *cursor, struct hashes *hashes)
{
    uint64_t count = 0;
    enum status status = take_number(cursor, "tensors", HASHES_TENSORS_MAX, &count);

    if (status != CAIRN_OK)
        return status;
    if (count == 0)
        return refuse(cursor, "a model has tensors");
    hashes->tensors = calloc(count, sizeof(*hashes->tensors));
    if (!hashes->tensors)
        return error_set(cursor->error, CAIRN_NO_MEMORY, "out of memory for %s", cursor->name);
    hashes->tensor_count = (uint32_t)count;
    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++)
        status = take_name(cursor, "tensor", hashes->tensors[i]);
    return status;
}

static enum status take_head(struct cursor *cursor, struct hashes *hashes)
{
    struct hashes_origin *origin = &hashes->origin;
    struct piece magic;
    enum status status;

    if (!take_line(cursor, &magic) || !piece_is(magic, MAGIC))
        return refuse(cursor, "not a record of hashes: it does not begin with \"" MAGIC "\"");
    status = take_name(cursor, "job", origin->job);
    if (status == CAIRN_OK)
        status = take_name(cursor, "worker", origin->worker);
    if (status == CAIRN_OK)
        status = take_number(cursor, "seed", UINT64_MAX, &origin->seed);
    if (status == CAIRN_OK)
        status = take_digest(cursor, origin->digest);
    return status == CAIRN_OK ? take_tensors(cursor, hashes) : status;
}

static enum status parse_line(const struct cursor *cursor, struct piece line, const struct hashes *hashes,
                              struct hashes_line *out)
{
    uint64_t time_ms;
    struct piece kind;

    if (!parse_number(take_word(&line), UINT64_MAX, &out->step))
        return refuse(cursor, "expected a step's number");
    kind = take_word(&line);
    out->is_copy = piece_is(kind, "copy");
    if (!out->is_copy && !piece_is(kind, "exact"))
        return refuse(cursor, "expected \"exact\" or \"copy\" after the step");
    if (!parse_number(take_word(&line), INT64_MAX, &time_ms))
        return refuse(cursor, "expected a time in milliseconds");
    out->time_ms = (int64_t)time_ms;
    for (uint32_t i = 0; i < hashes->tensor_count; i++) {
        if (!parse_sum(take_word(&line), &out->sums[i]))
            return refuse(cursor, "expected a hash of 16 hexadecimal digits a tensor");
    }
    return line.length == 0 ? CAIRN_OK : refuse(cursor, "more hashes than tensors");
}

/* Room for one more line. */
static bool make_room(struct hashes *hashes)
{
    size_t room = hashes->line_room > 0 ? 2 * hashes->line_room : 64;
    struct hashes_line *lines;
    uint64_t *sums;

    if (hashes->line_count < hashes->line_room)
        return true;
    lines = realloc(hashes->lines, room * sizeof(*lines));
    if (lines)
        hashes->lines = lines;
    sums = realloc(hashes->sums, room * hashes->tensor_count * sizeof(*sums));
    if (sums)
        hashes->sums = sums;
    if (!lines || !sums)
        return false;
    hashes->line_room = room;
    return true;
}

static enum status take_lines(struct cursor *cursor, struct hashes *hashes)
{
    enum status status = CAIRN_OK;
    struct piece line;

    while (status == CAIRN_OK && take_line(cursor, &line)) {
        struct hashes_line *place;

        if (!make_room(hashes))
            return error_set(cursor->error, CAIRN_NO_MEMORY, "out of memory for %s", cursor->name);
        place = &hashes->lines[hashes->line_count];
        place->sums = hashes->sums + hashes->line_count * hashes->tensor_count;
        status = parse_line(cursor, line, hashes, place);
        if (status == CAIRN_OK)
            hashes->line_count++;
    }
    for (size_t i = 0; i < hashes->line_count; i++) /* the sums may have moved while they grew */
        hashes->lines[i].sums = hashes->sums + i * hashes->tensor_count;
    return status;
}

enum status hashes_parse(const char *bytes, size_t length, const char *name, struct hashes *out,
                         struct error *error)
{
    struct cursor cursor = {bytes, bytes + length, name, 0, error};
    enum status status;

    *out = (struct hashes){.tensor_count = 0};
    status = take_head(&cursor, out);
    return status == CAIRN_OK ? take_lines(&cursor, out) : status;
}

void hashes_fini(struct hashes *hashes)
{
    free(hashes->tensors);
    free(hashes->lines);
    free(hashes->sums);
    *hashes = (struct hashes){.tensor_count = 0};
}
