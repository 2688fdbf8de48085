// The lab of scripts/lab.sh, and the bytes that the program counts in it.
#include "tests/program/program.h"

namespace cddp {
namespace {

const std::string kLab = CDDP_SOURCE "/scripts/lab.sh";

class LabTest : public ProgramTest {
 protected:
  // Beside a lab that somebody may be measuring in.
  int Lab(std::vector<std::string> arguments, std::string* said) {
    arguments.insert(arguments.begin(), kLab);
    Child lab(arguments, {{"CDDP_LAB", "cddp-lab-test"}}, folder_.path());
    const int code = lab.Wait();
    *said = lab.out() + lab.err();
    return code;
  }

  void TearDown() override {
    std::string said;
    Lab({"down"}, &said);
  }
};

// Ethernet, IP and TCP put 14 + 20 + 20 bytes before a packet's payload and 12 for TCP's
// timestamps; pure acknowledgements are packets without payload.
TEST_F(LabTest, InterfaceBytesAreSocketBytesAndPacketHeaders) {
  constexpr double kHeaderBytes = 14 + 20 + 20 + 12;
  std::string said;
  ASSERT_EQ(Lab({"up", "4", "1gbit"}, &said), 0) << said;
  for (const char* collective : {"dense", "split"}) {
    const std::string report = (folder_.path() / (std::string(collective) + ".json")).string();
    ASSERT_EQ(
        Lab({"run", "--", CDDP_PROGRAM, "bench", "sync", "--shapes", "resnet18", "--collective",
             collective, "--steps", "3", "--warmup", "1", "--interface", "eth0", "--json", report},
            &said),
        0)
        << said;
    const auto r = nlohmann::json::parse(ReadText(report));
    const double sockets = r.at("tx_bytes_per_step");
    const double interface = r.at("nic_tx_bytes_per_step");
    const double packets = r.at("nic_tx_packets_per_step");
    EXPECT_GT(interface, sockets) << collective;
    EXPECT_NEAR(sockets + kHeaderBytes * packets, interface, 0.01 * interface)
        << collective << ": " << sockets << " bytes in sockets, " << packets << " packets";
    // Without the headers it would not be explained (dense: by a little).
    EXPECT_GT(interface, sockets * (std::string(collective) == "split" ? 1.02 : 1.001));
  }
}

}  // namespace
}  // namespace cddp
