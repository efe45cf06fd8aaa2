/* What the two ends of a copy of a sparse table's slots share: the messages between them. Who asks is in
 * shard_copy_rows.c, who answers in shard_copy_answer.c. Nobody else includes this. */
#ifndef CAIRN_SERVER_SHARD_COPY_H
#define CAIRN_SERVER_SHARD_COPY_H

#include "shard_state.h"

enum section { SECTION_ROWS, SECTION_CANDIDATES, SECTION_BEFORE, SECTION_END };

/* The payloads of a question, and of a part; the last one is of tables with norms only, the totals that are
 * known of them. A part without rows has the first two. */
enum {
    COPY_SLOTS,
    COPY_NUMBERS,
    COPY_QUESTION,
    COPY_KEYS = COPY_QUESTION,
    COPY_STEPS,
    COPY_FLOATS,
    COPY_SUMS, /* of the last part: for each slot the newest version whose sum is known; else empty */
    COPY_TOTALS,
    COPY_PAYLOADS
};
/* The numbers of a question. */
enum { ASKED_ANY, ASKED_SECTION, ASKED_CURSOR, ASKED_COUNT };
/* Those of a part: what was asked, where the next part begins, and whether the step before is known. A part
 * of which HAS is 0 only tells where the one asked stands. */
enum {
    PART_HAS,
    PART_SECTION,
    PART_CURSOR,
    PART_NEXT_SECTION,
    PART_NEXT_CURSOR,
    PART_BEFORE_KNOWN,
    PART_COUNT
};

/* A message in hand. */
struct copy_message {
    struct shard *shard;
    struct shard_job *job;
    const struct data_header *header;
    struct buffer *const *payloads;
    struct sparse_table *sparse;
    uint32_t from;
    const uint64_t *slots, *numbers;
    uint32_t slot_count;
};

/* Reads a message's slots and so many numbers; false: it does not fit the table. */
bool copy_message_read(struct copy_message *said, uint64_t numbers);

/* How many payloads a part with rows has. */
uint32_t copy_part_payloads(const struct sparse_table *sparse);

/* Sends a message of header->payload_count payloads, NULL ones without a length. buffers: borrowed. */
void copy_say(struct shard *shard, struct shard_job *job, uint32_t to, struct data_header *header,
              struct buffer *const buffers[]);

/* The floats of a row of a section. */
uint32_t copy_section_floats(const struct sparse_table *sparse, uint64_t section);

/* Answers a question. */
void shard_copy_answer(struct copy_message *said);

#endif
