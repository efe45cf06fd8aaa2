/* Attaching to a tables job to look at it. */
#include "attach.h"

enum status attach_status(const cairn *connection, enum cairn_status status, struct error *error)
{
    if (status == CAIRN_STATUS_OK)
        return CAIRN_OK;
    return error_set(error, (enum status)status, "%s",
                     connection ? cairn_error_text(connection) : cairn_status_text(status));
}

enum status attach_reader(const char *coordinator, const char *job, cairn **out, struct error *error)
{
    enum cairn_status status = cairn_connect(coordinator, out);

    if (status == CAIRN_STATUS_OK)
        status = cairn_attach(*out, job, ATTACH_PATIENCE_MS);
    if (status == CAIRN_STATUS_OK)
        status = cairn_set_span(*out, 0, 0);
    return attach_status(*out, status, error);
}
