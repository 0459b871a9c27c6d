/* JSON documents from untrusted bytes: whatever reads also writes and reads. */
#include <string.h>

#include "api/json.h"
#include "tests/fuzz/target.h"

static void check_answer(const char *text, size_t size)
{
    struct api_answer *answer = malloc(2 * sizeof *answer);
    struct api_error error = {0};
    if (api_answer_read(text, size, answer, &error) == API_OK) {
        char *written = api_answer_write(answer);
        must_hold(api_answer_read(written, strlen(written), answer + 1,
                                  &error) == API_OK,
                  "a written answer reads");
        must_hold(answer[0].top_count == answer[1].top_count &&
                      strcmp(answer[0].model, answer[1].model) == 0,
                  "and is the same");
        free(written);
    } else {
        must_hold(error.text[0] != '\0', "a reason");
    }
    free(answer);
}

/* A point of unknown kind only holds its number: no server writes it. */
static int knows_all_points(const struct api_model *model)
{
    for (uint16_t i = 0; i < model->point_count; i++)
        if (model->points[i].id[0] == '\0')
            return 0;
    return 1;
}

static void check_model(const char *text, size_t size)
{
    struct api_model *model = malloc(2 * sizeof *model);
    struct api_error error = {0};
    if (api_model_read(text, size, model, &error) != API_OK) {
        must_hold(error.text[0] != '\0', "a reason");
    } else if (knows_all_points(model)) {
        char *written = api_model_write(model);
        must_hold(api_model_read(written, strlen(written), model + 1, &error) ==
                      API_OK,
                  "a written model reads");
        must_hold(model[0].fingerprint == model[1].fingerprint &&
                      model[0].class_count == model[1].class_count,
                  "and is the same");
        free(written);
    }
    free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct api_error problem = {0};
    check_answer(text, size);
    check_model(text, size);
    if (api_problem_read(text, size, &problem) == API_OK) {
        char *written =
            api_problem_write(problem.status, problem.text, NULL, NULL);
        must_hold(api_problem_read(written, strlen(written), &problem) ==
                      API_OK,
                  "a written problem reads");
        free(written);
    }
    return 0;
}
