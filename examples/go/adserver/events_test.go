package main

import (
	"testing"

	"adclick.io/adclick"
)

// The same as in the C++ and the Java server's tests.
func TestAddressClass(t *testing.T) {
	for address, digits := range map[string]string{
		"127.0.0.1": "7f0000", "203.0.113.77": "cb0071", "::ffff:1.2.3.4": "010203", "2001:db8:1::5": "20010db80001",
		"2001:DB8:1:ffff::": "20010db80001", "::1": "000000000000", "": "", "a.example": "", "256.1.1.1": "", "1.2.3": "", "01.2.3.4": "",
		"fe80::1%eth0": "", "1.2.3.4:80": "",
	} {
		due := uint64(0)
		if digits != "" {
			due = adclick.Hash(digits)
		}
		if found := addressClass(address); found != due {
			t.Errorf("%q: %x, expected the hash of %q", address, found, digits)
		}
	}
}

func TestAgentClass(t *testing.T) {
	for _, one := range []struct {
		agent, purpose string
		due            adclick.Agent
	}{
		{"", "", adclick.AgentUnstated}, {"Mozilla/5.0 Firefox/140.0", "", adclick.AgentBrowser},
		{"Mozilla/5.0 (compatible; GoogleBOT/2.1)", "", adclick.AgentRobot}, {"curl/8.0", "", adclick.AgentRobot},
		{"Googlebot", "Prefetch;prerender", adclick.AgentPrefetch}, {"", "preview", adclick.AgentPrefetch},
	} {
		if found := agentClass(one.agent, one.purpose); found != one.due {
			t.Errorf("%q %q: %d, expected %d", one.agent, one.purpose, found, one.due)
		}
	}
}
