/* The job file's keys as tables: libcyaml's schema, which says where each key's value goes, and beside it the
 * rules that libcyaml cannot say (bounds, defaults, other forms). The tables are all that there is to know
 * about a key; docs/job-file.md describes the same. Internal to common/job. */
#ifndef CAIRN_JOB_SCHEMA_H
#define CAIRN_JOB_SCHEMA_H

#include "job/job.h"

#include <cyaml/cyaml.h>

#define JOB_PATH_TEXT_MAX 4095 /* bytes of a path */

/* What the file says, as libcyaml fills it: all defaults are in, except where a comment says "if not given".
 */
struct form_layer {
    struct layer_spec
        *of[LAYER_TYPE_COUNT]; /* one is set; its name is "" if not given, strides 0 in pooling */
};

struct form_model {
    uint32_t *input_shape;
    uint32_t input_shape_count;
    struct form_layer *layers;
    uint32_t layers_count;
    enum loss loss;
    enum metric *metrics; /* NULL if not given */
    uint32_t metrics_count;
};

struct form_source { /* texts and header are NULL if not given */
    enum data_format format;
    char *features, *labels, *path, *label_column;
    bool *header;
    double scale;
};

struct form_data {
    struct form_source train;
    struct form_source *validation; /* NULL if not given */
    bool shuffle;
};

struct form_rate { /* one is set; of[SCHEDULE_CONSTANT] is not used */
    double *constant;
    struct schedule_spec *of[SCHEDULE_COUNT];
};

struct form_arguments {         /* of an optimizer */
    struct optimizer_spec spec; /* without type, learning_rate and schedule */
    struct form_rate learning_rate;
};

struct form_optimizer {
    struct form_arguments *of[OPTIMIZER_COUNT]; /* one is set */
};

struct form_initializer {
    struct initializer_spec *of[INITIALIZER_COUNT]; /* one is set */
};

struct form_codec {
    struct codec_spec *of[CODEC_COUNT]; /* one is set, without its type */
};

struct form_table_arguments { /* of both kinds; optimizer: NULL if not given */
    char name[JOB_NAME_MAX];
    uint64_t size;
    uint32_t dimension;
    struct form_initializer initializer;
    struct form_optimizer *optimizer;
    struct form_codec codec;
    uint32_t admit_after;
    uint64_t expire_after;
};

struct form_table {
    struct form_table_arguments *of[TABLE_KIND_COUNT]; /* one is set */
};

struct form_train { /* epochs, steps, microbatches: 0 if not given; optimizer: NULL */
    uint32_t epochs;
    uint64_t steps;
    uint32_t batch_size, microbatches, mode;
    struct form_optimizer *optimizer;
    uint32_t threads_per_microbatch;
    uint64_t commit_every;
    uint32_t staleness;
    bool staleness_damping;
    struct form_codec codec;
    bool record_hashes;
    bool terminate_on_nan;
};

struct form_workers { /* max: 0 if not given */
    uint32_t min, max;
};

struct form_cluster { /* threads_per_worker: 0 if not given */
    uint32_t servers, replicas;
    struct form_workers workers;
    uint32_t threads_per_worker;
    enum device device;
    uint32_t worker_tries, server_timeout;
    double straggler_factor;
};

struct form_output {
    char *path; /* NULL if not given */
};

struct job_form {
    char name[JOB_NAME_MAX];
    uint64_t seed;
    struct form_table *tables; /* NULL if not given; so are the next two */
    uint32_t tables_count;
    struct form_model *model;
    struct form_data *data;
    struct form_train train;
    struct form_cluster cluster;
    struct form_output output;
};

/* Forms in which a value may be written besides its schema's own. */
enum field_form {
    FORM_WORD = 1,     /* a text: only letters, digits, - and _ */
    FORM_FRACTION = 2, /* a number: also "1/255" */
    FORM_ONE_OF =
        4, /* a mapping: has exactly one key; the key's word alone stands for it with no arguments */
    FORM_FOR_ALL = 8, /* a mapping of numbers: one number stands for each of its keys */
    FORM_NUMBER = 16  /* a mapping with FORM_ONE_OF: a number alone is its first key's value */
};

/* What libcyaml does not know of the key `key` of a mapping, or of the mapping itself (key NULL). */
struct field_rule {
    const cyaml_schema_field_t *fields; /* the mapping's table */
    const char *key;
    double minimum, maximum;           /* of numbers, also those in lists; both 0: what the type holds */
    bool above_minimum, below_maximum; /* the bound itself is not allowed */
    unsigned forms;                    /* enum field_form */
    const char *fallback; /* the value when the key is missing, as one would write it; NULL: none */
};

/* The whole document: a struct job_form. */
extern const cyaml_schema_value_t job_schema;

/* The value of a key by its path from the document, "train.optimizer"; the path must lead through mappings
 * only. */
const cyaml_schema_value_t *job_schema_of(const char *path, const struct field_rule **rule);

/* The keys of an optimizer: a struct form_optimizer. */
extern const cyaml_schema_field_t optimizer_fields[];

/* All rules, those of optimizers apart. */
extern const struct field_rule job_rules[], optimizer_rules[];
extern const size_t job_rule_count, optimizer_rule_count;

/* The rule of a key (key NULL: of the mapping); a rule that adds nothing when there is none. */
const struct field_rule *job_rule_of(const cyaml_schema_field_t *fields, const char *key);

#endif
