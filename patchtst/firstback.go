package patchtst

import "fettle/patchtst/internal/kernel"

// learn takes the sums over a batch to the gradients of the projections, and to
// what learnFeature needs.
func (f *first) learn(k *kernel.Kernels, s *firstSums, l *layers, block *block) {
	d, sofar := f.view.Cols, [2]matrix{}
	weights := []*linear{&block.query, &block.key, &block.value}
	for i, part := range l.blocks[0].projections() {
		dMaps, dTable := columns(s.mapGradient, i*d, d), columns(s.tableGradient, i*d, d)
		dw := dense(weights[i].weight, d, d)
		k.MultiplyTransposed(dw, dMaps, f.scaled, dw)
		k.MultiplyTransposed(dw, dTable, f.view, dw)
		k.ColumnSums(weights[i].bias, dTable)
		part.backward(k, f.patchDY, plain(dMaps), sofar[0])
		part.backward(k, f.placeDY, plain(dTable), sofar[1])
		sofar = [2]matrix{f.patchDY, f.placeDY}
	}
}

// learnFeature does for one feature of the stream what BatchNormSums,
// BatchNormBackward and the embedding's way back do, from sums alone: with
// x = E patch + e[n], all sums over x are sums over patches; count is how many
// of them there are at each place. It gives the gradients of the norm n, of the
// embedding and of a learned table.
func (f *first) learnFeature(i int, s *firstSums, t *tensors, n *normalizer, count float64, gradient *tensors) {
	d, patch, places := f.view.Cols, f.scaled.Rows, f.view.Rows
	weights := t.embedding[0].weight[i*patch:][:patch]
	var sum, product float64 // of dy and of dy x
	for place := range places {
		dy := float64(f.placeDY.Data[place*d+i])
		sum += dy
		product += dy * t.placed(i, place)
	}
	for p, w := range weights {
		product += float64(f.patchDY.Data[p*d+i]) * float64(w)
	}
	mean, inverse, factor := float64(n.mean[i]), float64(n.inverse[i]), float64(n.scale[i])
	product = (product - mean*sum) * inverse // of dy z
	gradient.blocks[0].norm.bias[i] += float32(sum)
	gradient.blocks[0].norm.weight[i] += float32(product)
	rows := count * float64(places)
	meanG, slope := sum/rows, product/rows*inverse

	// dx = residual + factor (dy - meanG - (x - mean) slope), summed up at each
	// place, and times the patch.
	for place := range places {
		patches := s.places[place*patch:][:patch]
		x := count * t.placed(i, place)
		for p, w := range weights {
			x += float64(w) * patches[p]
		}
		dx := float64(s.placeResidual.Data[place*d+i]) + factor*(float64(f.placeDY.Data[place*d+i])-count*meanG-(x-count*mean)*slope)
		gradient.embedding[0].bias[i] += float32(dx)
		if gradient.position != nil {
			gradient.position[place*d+i] += float32(dx)
		}
	}
	for p := range weights {
		var patches, x float64 // sums of the patch's number p, and of it times x
		for place := range places {
			v := s.places[place*patch+p]
			patches += v
			x += v * t.placed(i, place)
		}
		for q, w := range weights {
			x += float64(w) * s.squares[q*patch+p]
		}
		dx := float64(s.patchResidual.Data[p*d+i]) + factor*(float64(f.patchDY.Data[p*d+i])-meanG*patches-(x-mean*patches)*slope)
		gradient.embedding[0].weight[i*patch+p] += float32(dx)
	}
}
