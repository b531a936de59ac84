/* -accel: which engine runs the guest, and the switches that look for a fault in the translator. */
#include "ui/options.h"

#include "ui/option_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char engines[] = "translate\ninterp\n";
static const char *const windows_choices[] = {
    [WINDOWS_AUTO] = "auto", [WINDOWS_OFF] = "off", [WINDOWS_ALWAYS] = "always"};

static int accel_setting(struct option_context *context, const struct suboption *item)
{
    struct machine_config *config = &context->options->machine;
    uint64_t number;
    int result;
    if (!strcmp(item->key, "cache")) {
        result =
            option_size(context->what, item->value, UINT64_C(1) << 20, &number, context->error);
        if (!result && (number < UINT64_C(2) << 20 || number > UINT64_C(1) << 30))
            return error_set(context->error, EINVAL, "%s: cache=%s is out of range; give 2M to 1G",
                             context->what, item->value);
        if (!result)
            config->translate.cache_bytes = number;
        return result;
    }
    if (!strcmp(item->key, "threshold")) {
        result = option_number(context->what, item->value, 1, 1000000, &number, context->error);
        if (!result)
            config->translate.threshold = (unsigned)number;
        return result;
    }
    if (!strcmp(item->key, "windows")) {
        for (unsigned i = 0; i < 3; i++)
            if (!strcmp(item->value, windows_choices[i])) {
                config->translate.windows = (enum windows_use)i;
                return 0;
            }
        return error_set(context->error, EINVAL, "%s: windows=%s: give auto, off or always",
                         context->what, item->value);
    }
    return error_set(
        context->error, EINVAL,
        "%s: no such setting '%s'; there are cache=SIZE, threshold=N and windows=auto|off|always",
        context->what, item->key);
}

int option_accel(struct option_context *context, const char *value)
{
    struct machine_config *config = &context->options->machine;
    struct suboptions list;
    if (!strcmp(value, "help")) {
        fputs(engines, stdout);
        context->action = OPTIONS_DONE;
        return 0;
    }
    int result = suboptions_parse(&list, context->what, value, "engine", context->error);
    for (unsigned i = 0; !result && i < list.count; i++) {
        const struct suboption *item = &list.items[i];
        if (strcmp(item->key, "engine"))
            result = accel_setting(context, item);
        else if (!strcmp(item->value, "translate") || !strcmp(item->value, "tcg"))
            config->interpret = false;
        else if (!strcmp(item->value, "interp"))
            config->interpret = true;
        else
            result = error_set(context->error, EINVAL,
                               "%s %s: ring3 runs without help of the processor or the kernel; "
                               "use -accel translate or -accel interp",
                               context->what, item->value);
    }
    suboptions_free(&list);
    return result;
}

int option_translate_limit(struct option_context *context, const char *value)
{
    return option_number(context->what, value, 1, UINT64_MAX,
                         &context->options->machine.translate.limit, context->error);
}
