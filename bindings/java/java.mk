# The Java binding: the shim is compiled and linked here, the rest is Maven's. Included by the root's Makefile.
JAVA_HOME ?= $(shell readlink -f "$$(command -v javac)" | sed 's:/bin/javac$$::')
MVN ?= mvn
MVN_RUN := JAVA_HOME='$(JAVA_HOME)' $(MVN) -B -q -ntp
JAVA := bindings/java
JAVA_PLATFORM := linux-$(shell uname -m)
# As they lie in the jar of this platform.
JAVA_NATIVE := $(JAVA)/target/native
JNI_LIBRARY := $(JAVA_NATIVE)/io/adclick/native/$(JAVA_PLATFORM)/libadclick_jni.so
JNI_MODULE := $(JAVA_NATIVE)/module-info.class
JNI_CFLAGS := -std=c11 $(CFLAGS) $(WARNINGS) -Wconversion -fPIC -fvisibility=hidden -Iinclude -I'$(JAVA_HOME)/include' -I'$(JAVA_HOME)/include/linux'
# Of the long-run test; 10000000 takes some minutes.
JAVA_CALLS ?= 200000
# How long the test hashes in a small heap; 60 is the long form.
JAVA_HASH_SECONDS ?= 5

.PHONY: java-tools adserver-java test-adserver-java

test-all: test-adserver-java

java-tools: tools
	@command -v javac >/dev/null && command -v mvn >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jdk-headless maven; } \
	  || { echo 'make: Java is missing: install a JDK 17 and Maven'; exit 1; }

# The library is linked in, and only the JNI functions go out.
$(JNI_LIBRARY): $(JAVA)/src/main/c/adclick_jni.c $(JAVA)/src/main/c/layout.h $(JAVA)/src/main/c/exports.map include/adclick.h \
  target/release/libadclick.a packaging/shared.sh packaging/glibc_compat.c | java-tools
	@mkdir -p $(@D)
	$(CC) $(JNI_CFLAGS) -c $< -o $(JAVA)/target/adclick_jni.o
	ld -r $(JAVA)/target/adclick_jni.o target/release/libadclick.a -o $(JAVA)/target/adclick_whole.o
	packaging/shared.sh $(JAVA)/target/adclick_whole.o $@ -Wl,--version-script=$(JAVA)/src/main/c/exports.map \
	  -Wl,--gc-sections -Wl,--no-undefined -Wl,-z,relro,-z,now -Wl,-z,noexecstack -s -lgcc_s -lm -lrt -lc

# The jar's module, with the platform's names put in (linux-x86_64: io.adclick.natives.linux.x86_64).
JNI_MODULE_NAME := $(subst -,.,$(JAVA_PLATFORM))
JNI_MODULE_SOURCES := $(JAVA)/target/natives
$(JNI_MODULE): $(JAVA)/src/natives/module-info.java $(JAVA)/src/natives/Library.java \
  $(JAVA)/src/main/java/module-info.java $(JAVA)/src/main/java/io/adclick/spi/NativeResource.java | java-tools
	rm -rf $(JNI_MODULE_SOURCES)
	@mkdir -p $(JNI_MODULE_SOURCES) $(JAVA_NATIVE)
	for file in module-info Library; do \
	  sed 's/@PLATFORM@/$(JAVA_PLATFORM)/g; s/@MODULE@/$(JNI_MODULE_NAME)/g' $(JAVA)/src/natives/$$file.java \
	    > $(JNI_MODULE_SOURCES)/$$file.java; done
	'$(JAVA_HOME)/bin/javac' --release 17 -Xlint:all -Werror -implicit:none -d $(JNI_MODULE_SOURCES)/classes \
	  --module-source-path io.adclick=$(JAVA)/src/main/java \
	  --module-source-path io.adclick.natives.$(JNI_MODULE_NAME)=$(JNI_MODULE_SOURCES) $(JNI_MODULE_SOURCES)/*.java
	cp -R $(JNI_MODULE_SOURCES)/classes/io.adclick.natives.$(JNI_MODULE_NAME)/. $(JAVA_NATIVE)

target/release/libadclick.a: | core

java: java-tools core
	@$(MAKE) --no-print-directory $(JNI_LIBRARY) $(JNI_MODULE)
	$(MVN_RUN) -f $(JAVA) install -DskipTests

$(BUILD)/java/libplanted.so: $(JAVA)/src/test/c/planted.c
	@mkdir -p $(@D)
	$(CC) $(JNI_CFLAGS) -shared $< -o $@

PACK_IDS := target/release/adclick pack --weights examples/tables/weights.safetensors --schema examples/schemas/document_tables.toml \
  $(foreach table,ads user_advertiser user_category,--table $(table)=examples/tables/$(table).csv)

# Bundles for the tests: one to serve, and one with other users to go to.
$(BUILD)/java/bundles/CURRENT: examples/tables/weights.safetensors examples/schemas/document_tables.toml \
  $(foreach table,$(TABLES),examples/tables/$(table).csv) | cli
	@mkdir -p $(@D)
	sed 's/^u1002,0.008,/u1002,0.018,/' examples/tables/users.csv > $(BUILD)/java/users.csv
	$(PACK_IDS) --table users=$(BUILD)/java/users.csv --out $(BUILD)/java/bundles/b --replace
	$(PACK_IDS) --table users=examples/tables/users.csv --out $(BUILD)/java/bundles/a --replace --publish

# Surefire runs the tests under -Xcheck:jni; what that has to say stands in their output. Then the
# requests of tests/parity, whose answers have to be Rust's to the bit, and the first program of docs/java.md.
test-java: java-tools core cli parity-rust
	@$(MAKE) --no-print-directory $(JNI_LIBRARY) $(JNI_MODULE) $(BUILD)/java/libplanted.so $(BUILD)/java/bundles/CURRENT
	@mkdir -p $(BUILD)/java
	JAVA_HOME='$(JAVA_HOME)' timeout 600 $(MVN) -B -ntp -f $(JAVA) install -Dadclick.calls=$(JAVA_CALLS) \
	  -Dadclick.hash.seconds=$(JAVA_HASH_SECONDS) > $(BUILD)/java/test.log 2>&1 \
	  || { cat $(BUILD)/java/test.log; exit 1; }
	@grep '^\[.*Tests run' $(BUILD)/java/test.log
	'$(JAVA_HOME)/bin/java' -cp '$(JAVA)/target/classes:$(JAVA)/target/test-classes:$(JAVA)/target/native' io.adclick.Parity \
	  $(addprefix $(BUILD)/parity/,bundle requests.bin java.bin)
	cmp $(BUILD)/parity/rust.bin $(BUILD)/parity/java.bin
	'$(JAVA_HOME)/bin/java' -cp '$(JAVA)/target/*' examples/java/First.java $(BUILD)/java/bundles
	packaging/glibc.sh $(LEAST_GLIBC) $(JNI_LIBRARY)
	@! grep -n -A20 -e 'in native method' -e 'JNI local refs' $(BUILD)/java/test.log

# Nanoseconds and bytes of one call; fails when one allocates.
bench-java: java cli
	@$(MAKE) --no-print-directory $(BUILD)/java/bundles/CURRENT
	$(MVN_RUN) -f $(JAVA)/bench package exec:exec

# The ad server: one jar, examples/java/adserver/target/adserver.jar.
ADSERVER := examples/java/adserver
adserver-java: java
	$(MVN_RUN) -f $(ADSERVER) package -DskipTests

$(BUILD)/java/openrtb/bundles/CURRENT: examples/openrtb/weights.py examples/openrtb/schema.toml $(wildcard examples/openrtb/*.csv) | cli
	@mkdir -p $(@D)
	python3 $< $(BUILD)/java/openrtb/weights.safetensors
	target/release/adclick pack --weights $(BUILD)/java/openrtb/weights.safetensors --schema examples/openrtb/schema.toml \
	  $(foreach table,users ads user_advertiser,--table $(table)=examples/openrtb/$(table).csv) --out $(@D)/a --replace --publish

# The cases that all servers share are sent by test-servers; here is what is Java's own.
test-adserver-java: java cli
	@$(MAKE) --no-print-directory $(BUILD)/java/openrtb/bundles/CURRENT
	JAVA_HOME='$(JAVA_HOME)' timeout 600 $(MVN) -B -ntp -f $(ADSERVER) package > $(BUILD)/java/adserver.log 2>&1 \
	  || { cat $(BUILD)/java/adserver.log; exit 1; }
	@grep '^\[.*Tests run' $(BUILD)/java/adserver.log
