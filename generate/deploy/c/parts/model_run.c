/* Reads images of MODEL_BYTES bytes from standard input; prints a line for each: the answer and the logits.
   With a number N as argument it predicts the first image N times and prints what each time took, in nanoseconds. */

#define _POSIX_C_SOURCE 199309L

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint8_t image[MODEL_BYTES];
static model_logit logits[MODEL_CLASSES];

static void measure(long times)
{
    volatile int answer = 0;

    for (long i = 0; i < times; i++) {
        struct timespec began, ended;

        clock_gettime(CLOCK_MONOTONIC, &began);
        answer = model_predict(image, logits);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        printf("%.0f\n", (double)(ended.tv_sec - began.tv_sec) * 1e9 + (double)(ended.tv_nsec - began.tv_nsec));
    }
    (void)answer;
}

int main(int count, char **arguments)
{
    while (fread(image, 1, MODEL_BYTES, stdin) == MODEL_BYTES) {
        if (count > 1) {
            measure(strtol(arguments[1], NULL, 10));
            return 0;
        }
        printf("%d", model_predict(image, logits));
        for (int i = 0; i < MODEL_CLASSES; i++) {
            printf(" %.9g", (double)logits[i]);
        }
        printf("\n");
    }
    return 0;
}
