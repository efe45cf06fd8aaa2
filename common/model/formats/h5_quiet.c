/* h5_quiet.h: libhdf5's error stack. */
#include "model/formats/h5_quiet.h"

#include <stdio.h>

void h5_quiet(struct h5_quiet *before)
{
    if (H5Eget_auto2(H5E_DEFAULT, &before->function, &before->data) < 0)
        *before = (struct h5_quiet){0};
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void h5_loud(const struct h5_quiet *before)
{
    (void)H5Eset_auto2(H5E_DEFAULT, before->function, before->data);
}

/* Called from the innermost entry outwards; keeps the first. */
static herr_t keep_first(unsigned level, const H5E_error2_t *entry, void *context)
{
    char *reason = context;

    (void)level;
    if (reason[0] == '\0' && entry->desc != NULL)
        snprintf(reason, H5_REASON_SIZE, "%s", entry->desc);
    return 0;
}

const char *h5_reason(char reason[H5_REASON_SIZE])
{
    reason[0] = '\0';
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, reason);
    for (char *c = reason; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return reason[0] != '\0' ? reason : "no reason given";
}

void h5_close(hid_t id)
{
    if (id < 0)
        return;
    switch (H5Iget_type(id)) {
    case H5I_FILE:
        (void)H5Fclose(id);
        break;
    case H5I_GROUP:
        (void)H5Gclose(id);
        break;
    case H5I_DATASET:
        (void)H5Dclose(id);
        break;
    case H5I_DATASPACE:
        (void)H5Sclose(id);
        break;
    case H5I_DATATYPE:
        (void)H5Tclose(id);
        break;
    case H5I_ATTR:
        (void)H5Aclose(id);
        break;
    default:
        (void)H5Pclose(id); /* the only other kind in use: property lists */
        break;
    }
}
