/* The idx decoder. Beyond not crashing: a refusal is one line, and what is accepted has as many elements as
 * bytes came in. */
#include "data/idx.h"
#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct idx_array array;

    if (idx_parse(data, size, &array, &error) == CAIRN_OK) {
        REQUIRE(array.count >= 1 && array.elements >= 1 && array.count * array.elements <= size);
        (void)idx_value(&array, 0, 0);
        (void)idx_value(&array, array.count - 1, array.elements - 1);
    } else {
        REQUIRE(error.message[0] != '\0' && strchr(error.message, '\n') == NULL);
    }
    idx_array_fini(&array);
    return 0;
}
