import { getRouteApi } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer, Empty } from "../../ui/Answer";
import { Filters, TextFilter } from "../../ui/Filters";
import { Picture } from "../../ui/Picture";
import type { Layer } from "./Layer";

const MAPS = graphql(`
	query FeatureMaps($layer: ID!, $image: Int!) {
		layer(id: $layer) {
			id
			featureMaps(image: $image, first: 24) {
				channel
				mean
				picture {
					url
					width
					height
				}
				image {
					class {
						name
					}
					picture {
						url
						width
						height
					}
				}
			}
		}
	}
`);

const route = getRouteApi("/models/$model/versions/$number/layers/$layer");

/** The activations of a layer's channels for one test image. */
export function Maps({ layer }: { layer: Layer }) {
	const { image = 0 } = route.useSearch();
	const navigate = route.useNavigate();
	const maps = useDocument(MAPS, { layer: layer.id, image });
	return (
		<section aria-labelledby="maps">
			<h2 id="maps">What it makes of an image</h2>
			<Filters>
				<TextFilter
					label="Test image"
					type="number"
					value={String(image)}
					onChange={(text) => {
						const image = Number(text);
						if (text !== "" && Number.isSafeInteger(image) && image >= 0) {
							void navigate({ search: (before) => ({ ...before, image }), replace: true, resetScroll: false });
						}
					}}
				/>
			</Filters>
			<Answer query={maps} rows={6}>
				{({ layer: found }) => {
					const all = found?.featureMaps ?? [];
					const source = all[0]?.image;
					if (!source) return <Empty>This layer has no feature maps.</Empty>;
					return (
						<ul className="maps">
							<li>
								<Picture {...source.picture} alt={`Test image ${image}`} />
								the image, <bdi>{source.class?.name}</bdi>
							</li>
							{all.map(({ channel, picture }) => (
								<li key={channel}>
									<Picture {...picture} alt={`Activations of channel ${channel}`} />
									channel {channel}
								</li>
							))}
						</ul>
					);
				}}
			</Answer>
		</section>
	);
}
