import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer, Empty } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { integer, moment, words } from "../../ui/format";
import { Title } from "../../ui/Title";

const DATASETS = graphql(`
	query Datasets {
		datasets {
			id
			name
			channels
			height
			width
			classNames
			mean
			std
			createdAt
			splits {
				split
				imageCount
			}
			probeSets {
				id
				imageCount
				isDefault
				searchIndex {
					layerCount
				}
			}
		}
	}
`);

/** The data sets that networks are trained and measured on. */
export default function Datasets() {
	const datasets = useDocument(DATASETS, {});
	return (
		<>
			<Title>Data sets</Title>
			<Answer query={datasets} rows={4}>
				{({ datasets: all }) =>
					all.length === 0 ? (
						<Empty>There are no data sets yet.</Empty>
					) : (
						all.map((dataset) => (
							<section key={dataset.id} aria-label={dataset.name}>
								<h2>
									<bdi>{dataset.name}</bdi>
								</h2>
								<Facts>
									{{
										Images: `${dataset.height} × ${dataset.width}, ${dataset.channels === 1 ? "grey" : `${dataset.channels} channels`}`,
										...Object.fromEntries(
											dataset.splits.map(({ split, imageCount }) => [`For ${words(split)}ing`, integer(imageCount)]),
										),
										"Mean of pixels": dataset.mean.map((value) => value.toFixed(3)).join(", "),
										"Standard deviation": dataset.std.map((value) => value.toFixed(3)).join(", "),
										"Probe sets": dataset.probeSets
											.map(
												({ imageCount, searchIndex }) =>
													`${imageCount} images, ${integer(searchIndex.layerCount)} layers`,
											)
											.join("; "),
										Imported: moment(dataset.createdAt),
									}}
								</Facts>
								<p>
									{dataset.classNames.length} classes: <bdi>{dataset.classNames.slice(0, 50).join(", ")}</bdi>
									{dataset.classNames.length > 50 && " …"}
								</p>
							</section>
						))
					)
				}
			</Answer>
		</>
	);
}
