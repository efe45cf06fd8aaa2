/* What a data format gives to reader.c: inside worker/data only.
 *
 * A format's reader begins with a struct reader, which holds its operations and the number of samples. It is
 * immutable once open has returned it. */
#ifndef CAIRN_WORKER_DATA_FORMAT_H
#define CAIRN_WORKER_DATA_FORMAT_H

#include "data/reader.h"

struct reader_ops {
    /* Writes one sample; index < count. Any thread. Required. */
    void (*read)(const struct reader *reader, uint64_t index, float *features, void *target);
    /* Required. */
    void (*free)(struct reader *reader);
};

struct reader {
    const struct reader_ops *ops;
    uint64_t count;
};

/* Opens a data set of one format. source: its paths are ready to be opened. Both are borrowed during the
 * call. Errors: as reader_open. */
typedef enum status reader_open_format(const struct data_source *source, const struct reader_wants *wants,
                                       struct reader **out, struct error *error);

reader_open_format idx_reader_open;
reader_open_format csv_reader_open;

#endif
