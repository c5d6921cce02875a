# SPDX-License-Identifier: MIT
#
# Everything is built under build/. Common targets:
#   make            build/enlite and build/enlited
#   make guest      our guest modules, for the kernels of bed/kernels.txt or for KVER="6.1-cloud ..."
#   make demo       boot a stock Debian kernel on VMBus and measure it
#   make demo-debian   boot a whole Debian 12, root on our disk, to multi-user.target
#   make test       all tests: check, flat guests, virtual machines
#   make check      what needs no root, no KVM and about two minutes
#   make manager-long   the manager's tests with 1,000 kills, 10,000 connections; about half an hour
#   make vm-long    the virtual machine tests with 6.1-cloud and 6.12-cloud, more VPs and large parameters; hours
#   make vm-ours    the tests of disks and NICs with our guest modules, on both buses; hours
#   make test-matrix   which virtual machine test runs with which kernel, VPs, driver and bus
#   make campaign-kill campaign-powercut   1,000 kills, 10,000 power cuts under verified I/O
#   make coverage   line coverage of COVERAGE (default host/vsp/storvsp) by tests and fuzz corpora
#   make fuzz-long  every fuzz target for FUZZ_LONG seconds (default 1200)
#   make bench-native   storage through the ring beside fio, no virtual machine; BENCH_ARGS=-h
#   make bench-storage  storage beside QEMU's devices, same kernel and image; BENCH_ARGS=--help
#   make bench-network  the NIC beside QEMU's, same kernel; BENCH_ARGS=--help
#   make foreign    test suites of others on our code, no virtual machine
#   make install uninstall deb package-test   see packaging/packaging.mk
#   make style deps sleeps unit loop fuzz flat cli escape manager vm bench clean deps-install
#
# V=1 shows commands. CC=clang builds with clang. CFLAGS, CPPFLAGS and LDFLAGS are added to the product's.
# NO_DEPS=1 installs no Debian packages: what is needed is there.

VERSION := 0.1
B := build
# As many jobs as CPUs, unless the user says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
ifeq ($(V),)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
else
say = @:
endif

CFLAGS_COMMON := -std=gnu11 -g -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-unused-parameter -fno-strict-aliasing -pthread -D_GNU_SOURCE -DENLITE_VERSION=\"$(VERSION)\"
INCLUDES := -Iinclude -Icommon -Ihost -I. -I$(B)/gen
LIBS := -lseccomp -lcap-ng -luring -ljansson -lsmartcols -luuid -lzstd -lz -pthread
# Of enlited alone.
LIBS_MANAGER := -lmicrohttpd -lpci
CLANG ?= clang
ifeq ($(origin CC),default)
CC := gcc
endif

# Variants of the same sources: product, sanitizers, fuzzing.
CC_plain := $(CC)
CC_asan := $(CC)
CC_tsan := $(CC)
CC_fuzz := $(CLANG)
CC_cov := gcc
CC_pic := $(CC)
# Locals begin as zero. clang 14 has it under another name only.
AUTO_INIT := $(shell $(CC) -ftrivial-auto-var-init=zero -E -xc /dev/null >/dev/null 2>&1 && \
	echo -ftrivial-auto-var-init=zero)
# The product. FORTIFY needs -O and no sanitizer; the shadow stacks of CET need a newer libc, their
# landing pads do not.
HARDENED := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fstack-clash-protection \
	$(AUTO_INIT) -fcf-protection=full -fPIE
HARDENED_LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code $(LDFLAGS)
FLAGS_plain := -O2 $(HARDENED) $(CPPFLAGS) $(CFLAGS)
FLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan := -O1 -fsanitize=thread
FLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_pic := -O2 -fPIC
FLAGS_cov := -O0 --coverage -fprofile-update=atomic
VARIANTS := plain asan tsan fuzz cov pic

MAIN_SRC := host/cli/main.c
MANAGER_MAIN_SRC := host/mgmt/manager/main.c
LIB_SRC := $(filter-out $(MAIN_SRC) $(MANAGER_MAIN_SRC),$(wildcard base/*.c common/*/*.c host/*/*.c host/*/*/*.c \
	hyper/*/*.c guest/*/proto*.c guest/vmbus-vsc/conn.c guest/winhv/hcall.c))
TEST_SRC := $(wildcard tests/unit/*/*_test.c tests/unit/*_test.c)
LOOP_SRC := $(wildcard tests/loop/*_test.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SRC := $(wildcard bench/*.c)
CAMPAIGN_SRC := $(wildcard tests/campaign/*.c)
ESCAPE_SRC := tests/escape/escape.c tests/escape/attempts.c
EVIL_SRC := $(wildcard tests/evil/*.c)
# Shared by tests, not programs of their own.
SUPPORT_SRC := $(wildcard tests/support/*.c)

# Unit tests of code that several threads run: under TSan too.
THREADED_SRC := $(wildcard tests/unit/base/budget_test.c tests/unit/base/loop_test.c tests/unit/base/wakeup_test.c tests/unit/base/gmem_pages_test.c \
	tests/unit/base/blocking_test.c tests/unit/disk/nbd_lib_test.c tests/unit/disk/file_flush_test.c tests/unit/confine/clients_test.c \
	tests/unit/scsi/reserve_test.c tests/unit/hv/auto_eoi_test.c \
	tests/unit/vmbus-host/chan*_test.c tests/unit/vsp/*_test.c \
	tests/unit/vm/devices_test.c)

UNIT_BIN := $(TEST_SRC:%.c=$(B)/asan/%) $(THREADED_SRC:%.c=$(B)/tsan/%)
LOOP_BIN := $(LOOP_SRC:%.c=$(B)/asan/%) $(LOOP_SRC:%.c=$(B)/tsan/%)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(B)/fuzz/%)
BENCH_IO_SRC := $(wildcard bench/io/*.c)
BENCH_BIN := $(BENCH_SRC:%.c=$(B)/%) $(B)/bench/io
CAMPAIGN_BIN := $(CAMPAIGN_SRC:%.c=$(B)/%)

.PHONY: all
all: $(B)/enlite $(B)/enlited $(B)/enlite-agent
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

include tests/flat/flat.mk
include packaging/packaging.mk

# ---- tools -------------------------------------------------------------------
# A stamp newer than packages.txt means the Debian packages are there.
$(B)/.deps: packages.txt bed/install-deps
ifeq ($(NO_DEPS),)
	$(Q)bed/install-deps packages.txt
endif
	@mkdir -p $(B) && touch $@

.PHONY: deps-install
deps-install:
	$(Q)bed/install-deps packages.txt
	@mkdir -p $(B) && touch $(B)/.deps

# ---- generated ---------------------------------------------------------------
$(B)/gen/hyper/boot/dsdt.h: hyper/boot/dsdt.asl | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,IASL,$<)
	$(Q)iasl -f -ve -tc -p $(@D)/dsdt $< >$(@D)/dsdt.log 2>&1 || { cat $(@D)/dsdt.log; exit 1; }
	$(Q)mv $(@D)/dsdt.hex $@

# ---- objects -----------------------------------------------------------------
# neatvnc's headers want those of pixman, which are in a folder of their own.
%/host/display/vnc.o %/host/display/vnc_lib.o %/tests/unit/display/vnc_test.o: INCLUDES += -isystem /usr/include/pixman-1

define variant_rules
$(B)/$(1)/%.o: %.c | $(B)/.deps $(B)/gen/hyper/boot/dsdt.h
	@mkdir -p $$(@D)
	$$(call say,CC,"$$< ($(1))")
	$$(Q)$$(CC_$(1)) $$(CFLAGS_COMMON) $$(FLAGS_$(1)) $$(INCLUDES) -MMD -MP -c -o $$@ $$<

$(B)/$(1)/libenlite.a: $(LIB_SRC:%.c=$(B)/$(1)/%.o)
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^

$(B)/$(1)/libsupport.a: $(SUPPORT_SRC:%.c=$(B)/$(1)/%.o)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach v,$(VARIANTS),$(eval $(call variant_rules,$(v))))

$(B)/enlite: $(MAIN_SRC:%.c=$(B)/plain/%.o) $(B)/plain/libenlite.a $(FLAT_EMBEDDED)
	$(call say,LD,$@)
	$(Q)$(CC_plain) $(FLAGS_plain) $(HARDENED_LINK) -o $@ $^ $(LIBS)

$(B)/enlited: $(MANAGER_MAIN_SRC:%.c=$(B)/plain/%.o) $(B)/plain/libenlite.a
	$(call say,LD,$@)
	$(Q)$(CC_plain) $(FLAGS_plain) $(HARDENED_LINK) -o $@ $^ $(LIBS_MANAGER) $(LIBS)

# Runs in guests, where there are no libraries.
GUEST_PROGRAMS := $(B)/netload $(B)/xdp $(B)/clocks $(B)/enlite-agent $(B)/enlite-guest
$(B)/netload $(B)/xdp $(B)/clocks: $(B)/%: tests/vm/guest/%.c | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC_plain) $(CFLAGS_COMMON) $(FLAGS_plain) -static -o $@ $<

# Runs commands in guests for `enlite exec`.
$(B)/enlite-agent: $(wildcard guest/agent/*.[ch] common/agent/*.[ch]) | $(B)/.deps
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC_plain) $(CFLAGS_COMMON) $(FLAGS_plain) $(INCLUDES) -static -o $@ $(filter %.c,$^)

# Runs beside the host of virtual machine tests.
$(B)/vnc_client: $(B)/plain/tests/vm/vnc_client.o $(B)/plain/tests/support/rfb.o
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^

define test_rules
$(B)/$(1)/tests/%: $(B)/$(1)/tests/%.o $(B)/$(1)/libsupport.a $(B)/$(1)/libenlite.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC_$(1)) $$(FLAGS_$(1)) -o $$@ $$^ -Wl,--as-needed $$(LIBS_MANAGER) $$(LIBS) -lpng -lcmocka
endef
$(foreach v,asan tsan cov,$(eval $(call test_rules,$(v))))

$(B)/cov/tests/fuzz/fuzz_%: $(B)/cov/tests/fuzz/fuzz_%.o $(B)/cov/tests/fuzz/replay.o $(B)/cov/libsupport.a $(B)/cov/libenlite.a
	$(call say,LD,$@)
	$(Q)$(CC_cov) $(FLAGS_cov) -o $@ $^ -Wl,--as-needed $(LIBS_MANAGER) $(LIBS)

$(B)/fuzz/tests/fuzz/%: $(B)/fuzz/tests/fuzz/%.o $(B)/fuzz/libsupport.a $(B)/fuzz/libenlite.a
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ -Wl,--as-needed $(LIBS_MANAGER) $(LIBS)

$(B)/bench/%: $(B)/plain/bench/%.o $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

$(B)/bench/confine: $(B)/plain/bench/confine.o $(B)/plain/bench/io/client.o $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

$(B)/bench/io: $(BENCH_IO_SRC:%.c=$(B)/plain/%.o) $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

$(B)/tests/campaign/%: $(B)/plain/tests/campaign/%.o $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

# As the product is built: sanitizers need calls that a worker has not.
$(B)/tests/escape/escape: $(ESCAPE_SRC:%.c=$(B)/plain/%.o) $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

$(B)/tests/escape/works: $(B)/plain/tests/escape/works.o $(B)/plain/bench/io/client.o $(B)/plain/libsupport.a $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) -o $@ $^ $(LIBS)

# The host program with lies around all that it says to guests.
EVIL_WRAPS := vmbus_tx_write vmbus_tx_commit rndis_rx_build vsp_gpadl_copy_to synic_post synic_signal
$(B)/tests/evil/enlite: $(MAIN_SRC:%.c=$(B)/plain/%.o) $(EVIL_SRC:%.c=$(B)/plain/%.o) $(B)/plain/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_plain) $(HARDENED_LINK) $(EVIL_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(LIBS)

# Our SCSI layer as an LD_PRELOAD library for foreign test suites.
$(B)/foreign/sgio.so: $(B)/pic/tests/foreign/sgio.o $(B)/pic/libenlite.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC_pic) -shared -o $@ $^ $(LIBS)

.PHONY: foreign
foreign: $(B)/foreign/sgio.so
	$(Q)tests/run foreign $<

# ---- guest modules -----------------------------------------------------------
# Our modules for stock kernels; kbuild makes them, in build/guest/FLAVOUR.
KVER ?= $(shell awk '!/^\#/ && NF { print $$1 }' bed/kernels.txt)
.PHONY: guest guest-check
guest: | $(B)/.deps
	$(Q)guest/build $(KVER)
# The same with sparse, as `make style` does.
guest-check: | $(B)/.deps
	$(Q)guest/build --check $(KVER)

# ---- tests -------------------------------------------------------------------
# Tests replay the corpora, so that the same commit gives the same result; fuzz and fuzz-long look
# for new inputs.
FUZZ_SHORT ?= 10
FUZZ_LONG ?= 1200

.PHONY: unit loop fuzz fuzz-long flat cli escape manager manager-long vm vm-long vm-ours test-matrix check test style deps tour sleeps harness
unit: $(UNIT_BIN)
	$(Q)tests/run unit $^
loop: $(LOOP_BIN)
	$(Q)tests/run loop $^
fuzz: $(FUZZ_BIN)
	$(Q)tests/run fuzz --seconds $(FUZZ_SHORT) $^
fuzz-long: $(FUZZ_BIN)
	$(Q)tests/run fuzz --seconds $(FUZZ_LONG) $^
flat: $(B)/enlite $(FLAT_GUESTS)
	$(Q)tests/run flat
escape: $(B)/tests/escape/escape $(B)/tests/escape/works
	$(Q)tests/run escape
cli: $(B)/enlite $(B)/enlite-agent $(B)/enlite-guest $(FLAT_GUESTS)
	$(Q)tests/run cli
manager: $(B)/enlite $(B)/enlited $(FLAT_GUESTS)
	$(Q)tests/run manager
manager-long: $(B)/enlite $(B)/enlited $(FLAT_GUESTS)
	$(Q)MANAGER_LONG=1 tests/run manager
vm: $(B)/enlite $(GUEST_PROGRAMS) $(B)/vnc_client $(FLAT_GUESTS)
	$(Q)tests/run vm
vm-long: $(B)/enlite $(GUEST_PROGRAMS) $(B)/vnc_client $(FLAT_GUESTS)
	$(Q)VM_LONG=1 tests/run vm
vm-ours: $(B)/enlite $(B)/tests/evil/enlite $(GUEST_PROGRAMS)
	$(Q)tests/run vm-ours
test-matrix:
	$(Q)tests/vm/inside matrix 6.1-cloud 6.12-cloud
style deps tour harness:
	$(Q)tests/run $@
sleeps: $(B)/enlite $(B)/enlited
	$(Q)tests/run $@

check: $(B)/enlite $(B)/enlited $(UNIT_BIN) $(LOOP_BIN) $(FUZZ_BIN)
	$(Q)tests/run all harness "fuzz --corpus" loop unit style deps tour sleeps

test: $(B)/enlite $(B)/enlited $(GUEST_PROGRAMS) $(B)/vnc_client $(B)/tests/escape/escape $(B)/tests/escape/works $(UNIT_BIN) $(LOOP_BIN) $(FUZZ_BIN) $(FLAT_GUESTS) $(B)/foreign/sgio.so
	$(Q)tests/run all vm "fuzz --corpus" cli manager escape flat foreign loop unit harness style deps tour sleeps

# The tests and fuzz targets that are named like the folder or what is in it.
COVERAGE ?= host/vsp/storvsp
COVERAGE_BY ?= storvsp scsi
COVERAGE_BIN := $(foreach n,$(COVERAGE_BY),$(patsubst %.c,$(B)/cov/%,$(wildcard tests/unit/$(n)/*_test.c \
	tests/loop/$(n)*_test.c tests/fuzz/fuzz_$(n)*.c)))
.PHONY: coverage
coverage: $(COVERAGE_BIN)
	$(Q)tests/coverage $(COVERAGE) $^

# Durability, full form; the short forms are loop tests. No virtual machine is needed.
CAMPAIGN_SEED ?= 1
.PHONY: campaign-kill campaign-powercut
campaign-kill campaign-powercut: campaign-%: $(B)/tests/campaign/%
	$(Q)$< -s $(CAMPAIGN_SEED)

.PHONY: demo demo-debian bench bench-native bench-storage bench-network bench-idle clean
demo: $(B)/enlite $(GUEST_PROGRAMS)
	$(Q)bench/demo/run
demo-debian: $(B)/enlite
	$(Q)bench/demo-debian/run

bench: $(BENCH_BIN)

# Our storage path without a virtual machine, beside fio on the same file; about four minutes.
bench-native: $(B)/bench/io
	$(Q)$< $(BENCH_ARGS)

# The same guest on our storvsp and on QEMU's devices; about 16 minutes in the nested bed.
bench-storage: $(B)/enlite
	$(Q)bench/storage/run $(BENCH_ARGS)

# The same guest with our NIC and with QEMU's, on TAP interfaces.
bench-network: $(B)/enlite $(GUEST_PROGRAMS)
	$(Q)bench/network/run $(BENCH_ARGS)

# What a VM's services cost while its guest is idle, and what they add to its boot.
bench-idle: $(B)/enlite $(GUEST_PROGRAMS) $(FLAT_GUESTS)
	$(Q)bench/idle/run $(BENCH_ARGS)

clean:
	$(Q)[ ! -x bed/down ] || bed/down
	$(Q)rm -rf $(B)

-include $(shell find $(B) -path $(B)/headers -prune -o -path $(B)/guest -prune -o -path $(B)/package -prune -o -path $(B)/deb -prune -o -name '*.d' -type f -print 2>/dev/null)
