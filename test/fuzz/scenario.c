/* Any bytes as a scenario file: refused with a line, or read so that every step and number is within bounds.
 * What was read is not run: a file may ask for as much work as it likes. */
#include "lab/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    qr_status status = qr_scenario_read(qr_slice_of(data, size), &scenario, complaint);
    QR_ASSERT((status == QR_OK) == (complaint[0] == 0));
    if (status == QR_OK) {
        QR_ASSERT(scenario.name.size > 0 && scenario.protocol == scenario.setting.protocol);
        QR_ASSERT(scenario.setting.count > 0 && scenario.setting.count <= QR_LAB_PROCESSES_MAX);
        for (size_t i = 0; i < scenario.step_count; i++) {
            const qr_scenario_step *step = &scenario.steps[i];
            QR_ASSERT(step->words.count <= QR_SCENARIO_WORDS_MAX);
            if (step->verb == QR_SCENARIO_REPEAT)
                QR_ASSERT(step->partner > i && scenario.steps[step->partner].partner == i);
        }
    }
    qr_scenario_free(&scenario);
    return 0;
}
