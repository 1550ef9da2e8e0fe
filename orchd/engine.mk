# SPDX-License-Identifier: Apache-2.0
# The metadata engine: libengine.a and its tests. Included by Makefile, which
# may set the variables below first.

ENGINE_CC ?= $(CC)
ENGINE_CFLAGS ?= -O2 -g -Wall -Wextra -Werror
ENGINE_CPPFLAGS = -D_GNU_SOURCE -I. -I../uapi $(ENGINE_INC)
ENGINE_LIBS = -lrocksdb -lprotobuf-c -lpthread
PROTOC_C ?= protoc-c

ENGINE_SRCS = arena.c siphash.c memory.c record.c \
	store.c store_dir.c store_prefix.c store_mem.c store_rocksdb.c \
	ns.c ns_txn.c ns_live.c ns_number.c ns_slot.c ns_inode.c ns_entry.c \
	ns_lookup.c ns_create.c ns_link.c ns_remove.c ns_rename.c ns_attr.c \
	ns_note.c ns_dir.c ns_xattr.c ns_layout.c ns_reconcile.c ns_volume.c \
	ns_where.c ns_deletion.c ns_job.c ns_move.c ns_drain.c \
	ns_rebuild.c ns_cluster.c
ENGINE_PROTO = proto/store.pb-c.c proto/store.pb-c.h
ENGINE_BUILD ?= build/engine
ENGINE_LIB ?= libengine.a
ENGINE_OBJS = $(addprefix $(ENGINE_BUILD)/,$(ENGINE_SRCS:.c=.o)) \
	$(ENGINE_BUILD)/store.pb-c.o
ENGINE_TESTS = test_store test_ns test_ns_state test_ns_nodes test_move test_model
ENGINE_TEST_BINS = $(addprefix $(ENGINE_BUILD)/,$(ENGINE_TESTS))
ENGINE_TEST_COMMON = $(addprefix $(ENGINE_BUILD)/tests/,engine_util.o \
	engine_check.o)

proto/store.pb-c.h: proto/store.proto
	$(PROTOC_C) --proto_path=proto --c_out=proto $<

proto/store.pb-c.c: proto/store.pb-c.h
	@touch $@

$(ENGINE_BUILD)/store.pb-c.o: proto/store.pb-c.c
	@mkdir -p $(@D)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_CPPFLAGS) -MMD -MP -c -o $@ $<

$(ENGINE_BUILD)/%.o: %.c | $(ENGINE_PROTO)
	@mkdir -p $(@D)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_CPPFLAGS) -MMD -MP -c -o $@ $<

$(ENGINE_LIB): $(ENGINE_OBJS)
	rm -f $@
	$(AR) rcs $@ $^

$(ENGINE_TEST_BINS): $(ENGINE_BUILD)/%: $(ENGINE_BUILD)/tests/%.o \
		$(ENGINE_TEST_COMMON) $(ENGINE_LIB)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -o $@ $^ \
		$(ENGINE_LIBS) -lcmocka

.PHONY: engine-test
engine-test: $(ENGINE_TEST_BINS)
	@for t in $(ENGINE_TEST_BINS); do ./$$t || exit 1; done

# The same under the address and undefined behaviour sanitizers.
ENGINE_SAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined
.PHONY: engine-test-san
engine-test-san:
	$(MAKE) engine-test ENGINE_BUILD=build/engine-san \
		ENGINE_LIB=build/engine-san/libengine.a \
		ENGINE_CFLAGS="-O1 -g -Wall -Wextra $(ENGINE_SAN)"

.PHONY: engine-clean
engine-clean:
	rm -rf $(ENGINE_BUILD) build/engine-san $(ENGINE_LIB) $(ENGINE_PROTO)

-include $(ENGINE_OBJS:.o=.d) $(wildcard $(ENGINE_BUILD)/tests/*.d)
