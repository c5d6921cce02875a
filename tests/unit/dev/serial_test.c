/* SPDX-License-Identifier: MIT */
/* 16550A: the probes of Linux's 8250 driver, interrupts, loopback, input. */
#include "dev_test.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static struct dev_rig m;
static struct serial s;
static char out[64];
static unsigned out_count;

static void output(void *ctx, uint8_t byte)
{
	assert_ptr_equal(ctx, out);
	if (out_count < sizeof(out))
		out[out_count++] = (char)byte;
}

static int setup(void **state)
{
	memset(&m, 0, sizeof(m));
	out_count = 0;
	return serial_init(&s, &m.pio, rig_irq(&m), output, out);
}

static uint8_t in(unsigned reg)
{
	return rig_in(&m, (uint16_t)(SERIAL_PORT + reg));
}

static void put(unsigned reg, uint8_t value)
{
	rig_out(&m, (uint16_t)(SERIAL_PORT + reg), value);
}

static void input(const char *text)
{
	assert_int_equal(serial_input(&s, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void bytes_come_out(void **state)
{
	assert_int_equal(in(LSR), 0x60);
	put(DATA, 'h');
	put(DATA, 'i');
	assert_int_equal(out_count, 2);
	assert_memory_equal(out, "hi", 2);
	assert_int_equal(in(LSR), 0x60); /* empty again at once */
}

static void divisor_hides_behind_dlab(void **state)
{
	put(LCR, 0x83);
	put(DATA, 0x34);
	put(IER, 0x12);
	assert_int_equal(in(DATA), 0x34);
	assert_int_equal(in(IER), 0x12);
	assert_int_equal(out_count, 0);
	put(LCR, 0x03);
	assert_int_equal(in(LCR), 0x03);
	assert_int_equal(in(IER), 0);
	assert_int_equal(in(DATA), 0);
	put(LCR, 0x80);
	assert_int_equal(s.divisor, 0x1234);
}

/* The steps of Linux's autoconfig(), in order. */
static void linux_identifies_a_16550a(void **state)
{
	put(IER, 0);
	assert_int_equal(in(IER)&0x0F, 0);
	put(IER, 0x0F);
	assert_int_equal(in(IER)&0x0F, 0x0F);
	put(IER, 0);
	put(MCR, 0x1A);
	assert_int_equal(in(MSR)&0xF0, 0x90); /* loopback test */
	put(MCR, 0);
	put(LCR, 0xBF);
	put(FCR, 0); /* EFR of other chips */
	put(LCR, 0);
	put(FCR, 0x01);
	assert_int_equal(in(IIR) >> 6, 3); /* 16550A */
	put(LCR, 0x80);
	assert_int_not_equal(in(IIR), 0); /* not a 16650 */
	put(LCR, 0xBF);
	assert_int_not_equal(in(IIR), 0); /* not a 16650V2 */
	put(LCR, 0);
	put(FCR, 0x21);
	assert_int_equal(in(IIR)&0xE0, 0xC0);
	put(LCR, 0x80);
	put(FCR, 0x21);
	assert_int_equal(in(IIR)&0xE0, 0xC0); /* not a 16750: no 64-byte FIFO */
	put(LCR, 0);
	put(IER, 0x40);
	assert_int_equal(in(IER)&0x40, 0); /* not an XScale */
	put(SCR, 0x5A);
	assert_int_equal(in(SCR), 0x5A);
}

/* Without it Linux falls back to a timer: UART_BUG_THRE, UART_BUG_TXEN. */
static void thre_interrupts_each_time_it_is_enabled(void **state)
{
	put(MCR, 0x08);
	for (unsigned i = 0; i < 2; i++) {
		put(IER, 0x02);
		assert_true(m.line);
		assert_int_equal(in(IIR)&0x0F, 0x02);
		assert_false(m.line); /* reading IIR acknowledges */
		assert_int_equal(in(IIR)&0x0F, 0x01);
		put(IER, 0x02); /* still enabled: no new edge */
		assert_int_equal(in(IIR)&0x0F, 0x01);
		put(IER, 0);
	}
}

static void thre_interrupts_after_each_byte(void **state)
{
	put(MCR, 0x08);
	put(IER, 0x02);
	in(IIR);
	assert_false(m.line);
	put(DATA, 'x');
	assert_true(m.line);
	put(DATA, 'y');
	put(DATA, 'z');
	assert_int_equal(m.line_changes, 3); /* up, down, up: a burst costs one */
	put(IER, 0);
	assert_false(m.line);
}

static void out2_gates_the_line(void **state)
{
	put(IER, 0x02);
	assert_false(m.line);
	assert_int_equal(in(LSR), 0x60);
	put(MCR, 0x08);
	assert_true(m.line);
	put(MCR, 0);
	assert_false(m.line);
}

static void input_interrupts_until_read(void **state)
{
	put(MCR, 0x08);
	put(IER, 0x01);
	input("ab");
	assert_true(m.line);
	assert_int_equal(in(IIR)&0x0F, 0x04);
	assert_true(m.line); /* IIR does not acknowledge data */
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(DATA), 'a');
	assert_true(m.line);
	assert_int_equal(in(DATA), 'b');
	assert_false(m.line);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(in(DATA), 0);
}

static void data_outranks_thre(void **state)
{
	put(MCR, 0x08);
	put(IER, 0x03);
	input("a");
	assert_int_equal(in(IIR)&0x0F, 0x04);
	in(DATA);
	assert_int_equal(in(IIR)&0x0F, 0x02); /* not lost meanwhile */
	assert_int_equal(in(IIR)&0x0F, 0x01);
}

static void input_is_bounded_and_wraps(void **state)
{
	uint8_t bytes[SERIAL_RX_FIFO + 10];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 5);
	assert_int_equal(serial_input(&s, bytes, 700), 700);
	for (unsigned i = 0; i < 600; i++)
		assert_int_equal(in(DATA), bytes[i]);
	assert_int_equal(serial_input(&s, bytes, sizeof(bytes)), SERIAL_RX_FIFO - 100);
	assert_int_equal(serial_input(&s, bytes, 1), 0);
	for (unsigned i = 600; i < 700; i++)
		assert_int_equal(in(DATA), bytes[i]);
	for (unsigned i = 0; i < SERIAL_RX_FIFO - 100; i++)
		assert_int_equal(in(DATA), bytes[i]);
	assert_int_equal(in(LSR), 0x60);
}

static void fcr_clears_the_receiver(void **state)
{
	put(FCR, 0x01);
	input("old");
	put(FCR, 0x02); /* without ENABLE: turns the FIFO off, which empties it too */
	assert_int_equal(in(LSR)&1, 0);
	put(FCR, 0x01);
	input("old");
	put(FCR, 0xC1); /* only a trigger level */
	assert_int_equal(in(LSR)&1, 1);
	put(FCR, 0x03);
	assert_int_equal(in(LSR)&1, 0);
	put(FCR, 0);
	assert_int_equal(in(IIR), 0x01); /* FIFO off shows in IIR */
}

static void loopback_keeps_bytes_inside(void **state)
{
	put(MCR, 0x10);
	put(DATA, 'q');
	assert_int_equal(out_count, 0);
	assert_int_equal(in(DATA), 'q');
	for (unsigned i = 0; i < SERIAL_RX_FIFO + 10; i++)
		put(DATA, 'q'); /* drops, no overflow */
	assert_int_equal(s.rx_count, SERIAL_RX_FIFO);
	for (uint8_t mcr = 0; mcr < 16; mcr++) { /* DTR RTS OUT1 OUT2 -> DSR CTS RI DCD */
		uint8_t want = (uint8_t)((mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 |
					 (mcr & 8) << 4);

		put(MCR, 0x10 | mcr);
		assert_int_equal(in(MSR), want);
	}
	put(MCR, 0);
	assert_int_equal(in(MSR), 0xB0);
}

static void only_byte_accesses_count(void **state)
{
	input("a");
	pio_write(&m.pio, SERIAL_PORT, 'x', 2);
	assert_int_equal(out_count, 0);
	assert_int_equal(pio_read(&m.pio, SERIAL_PORT, 4), 0xFFFFFFFF);
	assert_int_equal(in(DATA), 'a');
}

static void port_is_taken_once(void **state)
{
	struct serial second;

	assert_int_equal(serial_init(&second, &m.pio, rig_irq(&m), output, out), -EEXIST);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(bytes_come_out),
		T(divisor_hides_behind_dlab),
		T(linux_identifies_a_16550a),
		T(thre_interrupts_each_time_it_is_enabled),
		T(thre_interrupts_after_each_byte),
		T(out2_gates_the_line),
		T(input_interrupts_until_read),
		T(data_outranks_thre),
		T(input_is_bounded_and_wraps),
		T(fcr_clears_the_receiver),
		T(loopback_keeps_bytes_inside),
		T(only_byte_accesses_count),
		T(port_is_taken_once),
	};

	return cmocka_run_group_tests_name("dev/serial", tests, NULL, NULL);
}
