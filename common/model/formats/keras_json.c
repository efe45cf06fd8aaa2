/* keras_json.h: checked members and names. */
#include "model/formats/keras_json.h"

#include <ctype.h>

enum status keras_json_whole(const json_t *value, uint32_t *out, struct error *error)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > UINT32_MAX)
        return error_set(error, CAIRN_INVALID, "not a whole number from 1 to %u", UINT32_MAX);
    *out = (uint32_t)number;
    return CAIRN_OK;
}

enum status keras_json_count(const json_t *object, const char *key, uint32_t *out, struct error *error)
{
    enum status status = keras_json_whole(json_object_get(object, key), out, error);

    return status == CAIRN_OK ? CAIRN_OK : error_prefix(error, status, "%s", key);
}

enum status keras_json_pair(const json_t *object, const char *key, uint32_t out[2], struct error *error)
{
    const json_t *value = json_object_get(object, key);
    bool is_array = json_is_array(value);
    enum status status;

    if (is_array && json_array_size(value) != 2)
        return error_set(error, CAIRN_INVALID, "%s: not two numbers", key);
    status = keras_json_whole(is_array ? json_array_get(value, 0) : value, &out[0], error);
    if (status == CAIRN_OK)
        status = keras_json_whole(is_array ? json_array_get(value, 1) : value, &out[1], error);
    return status == CAIRN_OK ? CAIRN_OK : error_prefix(error, status, "%s", key);
}

const char *keras_json_class(const json_t *object)
{
    const char *class = json_string_value(json_object_get(object, "class_name"));

    return class != NULL ? class : "";
}

bool keras_json_same_name(const char *class, const char *name)
{
    for (;;) {
        while (*class == '_')
            class ++;
        while (*name == '_')
            name++;
        if (tolower((unsigned char)*class) != *name)
            return false;
        if (*name == '\0')
            return true;
        class ++;
        name++;
    }
}

void keras_json_one_line(struct error *error)
{
    for (char *c = error != NULL ? error->message : ""; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
}
