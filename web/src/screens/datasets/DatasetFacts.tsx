import { graphql } from "../../gql";
import type { DatasetFactsFragment } from "../../gql/graphql";
import { Facts } from "../../ui/Facts";
import { integer, moment, words } from "../../ui/format";

graphql(`
	fragment DatasetFacts on Dataset {
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
`);

/** So many classes are named. */
const MOST_NAMES = 50;

/** What a data set holds. */
export function DatasetFacts({ dataset }: { dataset: DatasetFactsFragment }) {
	return (
		<>
			<Facts>
				{{
					Images: `${dataset.height} × ${dataset.width}, ${dataset.channels === 1 ? "grey" : `${dataset.channels} channels`}`,
					...Object.fromEntries(
						dataset.splits.map(({ split, imageCount }) => [`For ${words(split)}ing`, integer(imageCount)]),
					),
					"Mean of pixels": dataset.mean.map((value) => value.toFixed(3)).join(", "),
					"Standard deviation": dataset.std.map((value) => value.toFixed(3)).join(", "),
					"Probe sets": dataset.probeSets
						.map(({ imageCount, searchIndex }) => `${imageCount} images, ${integer(searchIndex.layerCount)} layers`)
						.join("; "),
					Imported: moment(dataset.createdAt),
				}}
			</Facts>
			<p>
				{dataset.classNames.length} classes: <bdi>{dataset.classNames.slice(0, MOST_NAMES).join(", ")}</bdi>
				{dataset.classNames.length > MOST_NAMES && " …"}
			</p>
		</>
	);
}
