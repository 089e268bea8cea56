/** What the measures of similarity mean. */
export const DEBIASED_CKA =
	"Debiased CKA says how similar two layers are: 1 if they compute the same, up to rotation and scale, and near 0 if they are unrelated, however wide";
export const CKA =
	"CKA is the same measure without the correction for wide layers, which look more similar in it than they are";
