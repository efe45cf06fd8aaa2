/* cairn verify: compares the hashes that two runs recorded. */
#include "command.h"
#include "commands.h"
#include "hash_records.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct verify_settings {
    const char *first, *second;
    int64_t json;
};

static const struct setting rows[] = {
    {.name = "A",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "a record of hashes, a folder of them, or the model file that they lie beside",
     .offset = offsetof(struct verify_settings, first)},
    {.name = "B",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "likewise, of the other run",
     .offset = offsetof(struct verify_settings, second)},
    SETTING_ROW_JSON(struct verify_settings),
};

static const struct settings_table table = {
    "cairn verify",
    "Compares two runs of jobs with train.record_hashes: every tensor of every version of the weights that "
    "both "
    "recorded. Names the first step and tensor that differ. Where several workers of a run recorded a "
    "version they "
    "must agree, too. Exit code 0: equal; 1: different, or nothing to compare; 2: no records.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* Two runs and what was found of them. */
struct verification {
    const struct verify_settings *settings;
    struct hash_records first, second;
    struct hash_comparison comparison;
    struct hash_difference within_first, within_second;
    bool first_agrees, second_agrees; /* within themselves */
    bool comparable;                  /* they are of the same tensors */
};

static bool is_equal(const struct verification *verification)
{
    return verification->first_agrees && verification->second_agrees && verification->comparable &&
           verification->comparison.common > 0 && verification->comparison.different == 0;
}

static void compare(struct verification *verification)
{
    verification->first_agrees = hash_records_agree(&verification->first, &verification->within_first);
    verification->second_agrees = hash_records_agree(&verification->second, &verification->within_second);
    verification->comparable = hash_records_are_alike(&verification->first, &verification->second);
    if (verification->comparable)
        hash_records_compare(&verification->first, &verification->second, &verification->comparison);
}

/* ---- for people */

static void print_only(const char *side, size_t count, uint64_t begin, uint64_t last)
{
    if (count > 0)
        printf("only in %s: %zu version%s, of step%s %" PRIu64 " to %" PRIu64 "\n", side, count,
               count == 1 ? "" : "s", count == 1 ? "" : "s", begin, last);
}

static const char *kind_of(const struct hashes_line *line)
{
    return line->is_copy ? " (copies)" : "";
}

static void print_difference(const struct hash_difference *difference)
{
    printf("  the first is step %" PRIu64 "%s, %s:\n    %016" PRIx64 " in %s\n    %016" PRIx64 " in %s\n",
           difference->first.line->step, kind_of(difference->first.line), difference->tensor,
           difference->first_sum, difference->first.file->path, difference->second_sum,
           difference->second.file->path);
}

static void print_jobs(const struct verification *verification)
{
    const struct hashes *first = &verification->first.files[0].hashes;
    const struct hashes *second = &verification->second.files[0].hashes;

    if (strcmp(first->origin.digest, second->origin.digest) != 0)
        printf("these are different jobs: %s with seed %" PRIu64 ", digest %s; %s with seed %" PRIu64
               ", digest %s\n",
               first->origin.job, first->origin.seed, first->origin.digest, second->origin.job,
               second->origin.seed, second->origin.digest);
    if (!verification->comparable)
        printf("different: their models have other tensors, %" PRIu32 " and %" PRIu32 "\n",
               first->tensor_count, second->tensor_count);
}

static void print_within(const char *path, bool agrees, const struct hash_difference *difference)
{
    if (agrees)
        return;
    printf("different: %s does not agree with itself;\n", path);
    print_difference(difference);
}

static void print_comparison(const struct verification *verification)
{
    const struct hash_comparison *found = &verification->comparison;

    if (found->common == 0)
        printf("different: no version is in both\n");
    else if (found->different > 0)
        printf("different: %zu of %zu versions differ;\n", found->different, found->common);
    else
        printf("%s: %zu version%s of %" PRIu32 " tensors\n", is_equal(verification) ? "equal" : "else equal",
               found->common, found->common == 1 ? "" : "s",
               verification->first.files[0].hashes.tensor_count);
    if (found->different > 0)
        print_difference(&found->difference);
    print_only(verification->settings->first, found->only_first, found->only_first_begin,
               found->only_first_last);
    print_only(verification->settings->second, found->only_second, found->only_second_begin,
               found->only_second_last);
}

static bool print_text(const struct verification *verification)
{
    print_jobs(verification);
    print_within(verification->settings->first, verification->first_agrees, &verification->within_first);
    print_within(verification->settings->second, verification->second_agrees, &verification->within_second);
    if (verification->comparable)
        print_comparison(verification);
    return fflush(stdout) == 0;
}

/* ---- for scripts */

static json_t *only_json(size_t count, uint64_t begin, uint64_t last)
{
    if (count == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I}", "versions", (json_int_t)count, "first_step", (json_int_t)begin,
                     "last_step", (json_int_t)last);
}

static json_t *difference_json(bool is_one, const struct hash_difference *difference)
{
    char first[17], second[17];

    if (!is_one)
        return json_null();
    snprintf(first, sizeof(first), "%016" PRIx64, difference->first_sum);
    snprintf(second, sizeof(second), "%016" PRIx64, difference->second_sum);
    return json_pack("{s:I, s:b, s:o, s:s, s:s, s:o, s:o}", "step", (json_int_t)difference->first.line->step,
                     "copy", difference->first.line->is_copy, "tensor", result_text(difference->tensor),
                     "first", first, "second", second, "first_record",
                     result_text(difference->first.file->path), "second_record",
                     result_text(difference->second.file->path));
}

static json_t *verification_json(const struct verification *verification)
{
    const struct hash_comparison *found = &verification->comparison;
    const struct hashes *first = &verification->first.files[0].hashes;
    const struct hashes *second = &verification->second.files[0].hashes;

    return json_pack(
        "{s:b, s:b, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "equal", is_equal(verification), "same_job",
        strcmp(first->origin.digest, second->origin.digest) == 0, "tensors", (json_int_t)first->tensor_count,
        "versions", (json_int_t)found->common, "different", (json_int_t)found->different, "difference",
        difference_json(found->different > 0, &found->difference), "within_first",
        difference_json(!verification->first_agrees, &verification->within_first), "within_second",
        difference_json(!verification->second_agrees, &verification->within_second), "only_first",
        only_json(found->only_first, found->only_first_begin, found->only_first_last), "only_second",
        only_json(found->only_second, found->only_second_begin, found->only_second_last));
}

static int verify_and_print(struct verification *verification)
{
    bool printed;

    compare(verification);
    printed = verification->settings->json ? command_print_json(verification_json(verification))
                                           : print_text(verification);
    return printed && is_equal(verification) ? EXIT_DONE : EXIT_FAILED;
}

int command_verify(int argc, char **argv)
{
    struct verify_settings settings;
    struct verification verification = {.settings = &settings};
    struct error error;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    if (hash_records_load(&verification.first, settings.first, &error) != CAIRN_OK ||
        hash_records_load(&verification.second, settings.second, &error) != CAIRN_OK)
        code = command_fail(table.program, EXIT_USAGE, &error);
    else
        code = verify_and_print(&verification);
    hash_records_fini(&verification.first);
    hash_records_fini(&verification.second);
    return code;
}
