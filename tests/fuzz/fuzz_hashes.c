/* The reader of records of hashes. Beyond not crashing: a refusal is one line that names the file, and
 * what is accepted can be written. */
#include "fuzz.h"
#include "model/formats/hashes.h"

#include <string.h>

/* Lines can be written again, within the length that they are said to have. */
static void check_lines(const struct hashes *hashes)
{
    char *text = malloc(hashes_line_bytes_max(hashes->tensor_count));

    REQUIRE(text && hashes->tensor_count >= 1 && hashes->tensor_count <= HASHES_TENSORS_MAX);
    for (size_t i = 0; i < hashes->line_count; i++) {
        size_t length = hashes_line_text(&hashes->lines[i], hashes->tensor_count, text);

        REQUIRE(length < hashes_line_bytes_max(hashes->tensor_count) && text[length - 1] == '\n');
        REQUIRE(hashes->lines[i].time_ms >= 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct hashes hashes;

    if (hashes_parse((const char *)data, size, "fuzz.txt", &hashes, &error) == CAIRN_OK)
        check_lines(&hashes);
    else
        REQUIRE(strncmp(error.message, "fuzz.txt:", 9) == 0 && strchr(error.message, '\n') == NULL);
    hashes_fini(&hashes);
    return 0;
}
