# Three ad servers that speak OpenRTB.
BOOST_JSON ?= /usr/include/boost/json.hpp
.PHONY: servers tools-servers test-servers
test-all: test-servers

# What the C++ one and the load need beside the compiler: CMake, Boost (Beast, JSON; headers alone), wrk.
tools-servers: tools
	@command -v cmake >/dev/null && command -v wrk >/dev/null && command -v python3 >/dev/null && test -e $(BOOST_JSON) || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq cmake libboost1.81-dev wrk python3; } \
	  || { echo 'make: the ad servers need cmake, wrk, python3 and Boost 1.81 or later (libboost1.81-dev): install them'; exit 1; }

# The Java one takes the binding from the local Maven repository.
SERVERS_JAVA := $(if $(ONLY),$(if $(findstring java,$(ONLY)),java),java)

servers: tools-servers cli $(SERVERS_JAVA)
	python3 examples/openrtb/servers.py $(if $(ONLY),--only $(ONLY))

# The ad servers in short: all cases on one kernel, following, deadlines, shutdown, a second of load.
test-servers: tools-servers cli $(SERVERS_JAVA)
	python3 examples/openrtb/servers.py --short $(if $(ONLY),--only $(ONLY))
