/* Three places for reports. */
#include "standing.h"

static struct standing_report *place_of(struct standing *standing, enum step_report_kind kind)
{
    switch (kind) {
    case STEP_PREPARED:
        return &standing->prepared;
    case STEP_VALIDATED:
        return &standing->validated;
    case STEP_REACHED:
    case STEP_NOT_FINITE:
    case STEP_FAILED:
        return &standing->ended;
    case STEP_PROGRESS:
    case STEP_TROUBLE:
    case STEP_ENDED:
        break;
    }
    return NULL;
}

void standing_keep(struct standing *standing, const struct step_report *report)
{
    struct standing_report *place = place_of(standing, report->kind);

    if (!place)
        return;
    place->is_made = true;
    place->report = *report;
}

void standing_visit(const struct standing *standing, standing_tell *tell, void *context)
{
    const struct standing_report *const places[] = {&standing->prepared, &standing->validated,
                                                    &standing->ended};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i]->is_made)
            tell(context, &places[i]->report);
    }
}
