// SPDX-License-Identifier: Apache-2.0
//
// A stranger's program in C++: it links only if every header says extern "C".
#include <weir.h>
#include <weir_operators.h>

#include <cstring>

int main()
{
    struct weir_graph *graph = weir_graph_new(nullptr);
    struct weir_error error;
    weir_filter(graph, "no input", nullptr, nullptr);
    const bool refused = weir_graph_check(graph, &error) != WEIR_OK;
    weir_graph_free(&graph);
    return refused && std::strlen(weir_version()) > 4 ? 0 : 1;
}
