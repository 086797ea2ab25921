"""Converters by operator group. Importing this package registers them all."""

import edgeseg.graph.lift.ops.activation
import edgeseg.graph.lift.ops.convolution
import edgeseg.graph.lift.ops.elementwise
import edgeseg.graph.lift.ops.indexing
import edgeseg.graph.lift.ops.linear
import edgeseg.graph.lift.ops.normalization
import edgeseg.graph.lift.ops.pooling
import edgeseg.graph.lift.ops.quantization
import edgeseg.graph.lift.ops.reduction
import edgeseg.graph.lift.ops.resize
import edgeseg.graph.lift.ops.sampling
import edgeseg.graph.lift.ops.shaping  # noqa: F401
