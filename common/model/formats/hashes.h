/* A record of hashes: of each tensor of each version of a model's weights that a worker had. Plain text that
 * can be compared between runs, and looked into with grep:
 *
 *     cairn hashes 1
 *     job digits-1
 *     worker worker-0
 *     seed 7
 *     digest 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
 *     tensors 2
 *     tensor dense/kernel
 *     tensor dense/bias
 *     0 exact 81234567 9c1185a5c5e9fc54 2d06800538d394c2
 *     1 exact 81234571 ...
 *
 * The head is written once; then comes a line a version: how many steps are done, `exact` (the weights as the
 * servers hold them) or `copy` (as a codec carried them), when (milliseconds on the machine's monotonic
 * clock), and a hash a tensor (base/checksum.h), in the head's order. A version may come more than once. What
 * follows the last line's end was cut off by a kill and counts for nothing.
 *
 * Pure text: no files. Any thread, one thread an object. */
#ifndef CAIRN_MODEL_FORMATS_HASHES_H
#define CAIRN_MODEL_FORMATS_HASHES_H

#include "base/hash.h"
#include "base/status.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASHES_TENSORS_MAX 4096u
#define HASHES_NAME_BYTES  256 /* of a job's id, a worker's or a tensor's name, with the end */

/* What a record is of. */
struct hashes_origin {
    char job[HASHES_NAME_BYTES], worker[HASHES_NAME_BYTES];
    char digest[HASH_TEXT_BYTES]; /* of the job (job_digest) */
    uint64_t seed;
};

/* A version. */
struct hashes_line {
    uint64_t step;
    bool is_copy;
    int64_t time_ms;
    uint64_t *sums; /* one a tensor */
};

/* ---- writing */

/* The head's text. Bytes that would break a line become "?". Owns: the caller, free(); NULL: out of memory.
 */
char *hashes_head_text(const struct hashes_origin *origin, const struct graph *graph);

/* How long a line can be, with its end and a NUL. */
size_t hashes_line_bytes_max(uint32_t tensor_count);

/* Writes a line with its newline and a NUL to text[hashes_line_bytes_max]; its length. */
size_t hashes_line_text(const struct hashes_line *line, uint32_t tensor_count, char *text);

/* ---- reading */

struct hashes {
    struct hashes_origin origin;
    uint32_t tensor_count;
    char (*tensors)[HASHES_NAME_BYTES];
    size_t line_count, line_room;
    struct hashes_line *lines; /* as they come; their sums lie in `sums` */
    uint64_t *sums;            /* [line_count][tensor_count] */
};

/* Reads a record. name is for messages. hashes_fini is right also after a failure.
 * Errors: CAIRN_CORRUPT: one line "NAME:LINE: what is wrong"; CAIRN_NO_MEMORY. */
enum status hashes_parse(const char *bytes, size_t length, const char *name, struct hashes *out,
                         struct error *error) MUST_CHECK;
void hashes_fini(struct hashes *hashes);

#endif
