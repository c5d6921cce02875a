# SPDX-License-Identifier: MIT
# Flat guests: tiny multiboot-v1 ELF32 kernels (see tests/flat/README.md).
# A 64-bit program is linked statically at 1 MiB and then wrapped as ELF32,
# which is what multiboot loaders take.
FLAT_GUESTS := $(patsubst tests/flat/%.c,$(B)/flat/%.elf,$(wildcard tests/flat/*.c))
FLAT_EMBEDDED :=
FLAT_LIB := $(patsubst tests/flat/%,$(B)/flat/%.o,$(wildcard tests/flat/lib/*.c tests/flat/lib/*.S))

# General registers only: a software KVM runs no SSE in ring 0.
FLAT_CFLAGS := -std=gnu11 -g -O2 -m64 -ffreestanding -fno-pic -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none -mno-red-zone \
	-mgeneral-regs-only -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Iinclude -Itests/flat/lib

$(B)/flat/%.c.o: tests/flat/%.c | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,CC,"$< (flat)")
	$(Q)$(CC) $(FLAT_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/flat/%.S.o: tests/flat/%.S | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,AS,"$< (flat)")
	$(Q)$(CC) $(FLAT_CFLAGS) -MMD -MP -c -o $@ $<

# The guest's half of disks, as our modules have it.
FLAT_DISK := $(B)/flat/common/ring/vmbus_ring.o $(B)/flat/guest/storvsc/proto.o
$(B)/flat/writer.c.o $(FLAT_DISK): FLAT_CFLAGS += -Icommon -Iguest
$(B)/flat/writer.elf: $(FLAT_DISK)

$(FLAT_DISK): $(B)/flat/%.o: %.c | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,CC,"$< (flat)")
	$(Q)$(CC) $(FLAT_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/flat/%.elf: $(B)/flat/%.c.o $(FLAT_LIB) tests/flat/lib/flat.lds
	$(call say,LD,$@)
	$(Q)$(CC) -m64 -static -nostdlib -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-Wl,-z,max-page-size=4096 -Wl,-T,tests/flat/lib/flat.lds -o $@.64 $(filter %.o,$^)
	$(Q)objcopy -O elf32-i386 $@.64 $@
