/* Starts a Cortex-M without any library, predicts the images of images.h, and prints over the debugger (semihosting) a
   line for each: the answer, and the bits of the logits in hexadecimal. */

#include "images.h"
#include "model.h"

extern uint32_t data_begin, data_end, data_source, bss_begin, bss_end, stack_top;

void reset(void);

__attribute__((section(".vectors"), used)) static void *const vectors[2] = {&stack_top, (void *)reset};

enum { WRITE = 0x04, END = 0x18, FINISHED = 0x20026 };

static void debugger(uint32_t request, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = request;
    register uint32_t r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static char *hexadecimal(char *text, uint32_t bits)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        *text++ = "0123456789abcdef"[bits >> shift & 15U];
    }
    *text++ = ' ';
    return text;
}

static uint32_t bits_of(model_logit logit)
{
    union {
        model_logit logit;
        uint32_t bits;
    } both = {.bits = 0};

    both.logit = logit;
    return both.bits;
}

void reset(void)
{
    static model_logit logits[MODEL_CLASSES];
    static char line[9 * (MODEL_CLASSES + 1) + 1];
    const uint32_t *from = &data_source;

    for (uint32_t *to = &data_begin; to < &data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = &bss_begin; to < &bss_end; to++) {
        *to = 0;
    }
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFU << 20; /* switches the floating point unit on */
    __asm__ volatile("dsb\n\tisb");
#endif
    for (uint32_t i = 0; i < IMAGES; i++) {
        char *text = hexadecimal(line, (uint32_t)model_predict(images[i], logits));

        for (int k = 0; k < MODEL_CLASSES; k++) {
            text = hexadecimal(text, bits_of(logits[k]));
        }
        text[-1] = '\n';
        *text = 0;
        debugger(WRITE, (uint32_t)line);
    }
    debugger(END, FINISHED);
    for (;;) {
    }
}
