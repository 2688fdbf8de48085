// Stand-in: see gloo/context.h. Without the version, which is that of the Gloo in libtorch.
#pragma once
